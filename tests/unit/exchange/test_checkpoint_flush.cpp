// SPDX-License-Identifier: MIT
// That what is saved is on the disk, as far as a program can ask for that.
#include <gatedpaths/exchange/checkpoint.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"

using Catch::Matchers::StartsWith;
using gatedpaths::ByteSink;
using gatedpaths::save_atomically;
using gatedpaths::test::message_of;
using gatedpaths::test::read_file;
using gatedpaths::test::TemporaryFolder;

namespace {

enum class Flushed { kFile, kFolder };

// Sees every fsync of this program and gives the error that it shall fail with,
// or 0.
std::function<int(Flushed)> flush_observer;

class FlushObserver {
 public:
  explicit FlushObserver(std::function<int(Flushed)> observer) {
    flush_observer = std::move(observer);
  }
  FlushObserver(const FlushObserver&) = delete;
  FlushObserver& operator=(const FlushObserver&) = delete;
  ~FlushObserver() { flush_observer = nullptr; }
};

void save_for_flush(const std::filesystem::path& file, const char* text) {
  const std::string bytes = text;
  save_atomically(file, [&bytes](const ByteSink& sink) {
    sink(bytes.data(), bytes.size());
  });
}

}  // namespace

// The program's own fsync takes the place of the C library's.
extern "C" __attribute__((visibility("default"))) int fsync(int descriptor) {
  if (flush_observer) {
    struct stat status = {};
    ::fstat(descriptor, &status);
    const int error = flush_observer(
        S_ISDIR(status.st_mode) ? Flushed::kFolder : Flushed::kFile);
    if (error != 0) {
      errno = error;
      return -1;
    }
  }
  return ::fdatasync(descriptor);
}

TEST_CASE(
    "save_atomically: flushes the file before it gets its name, and then the "
    "folder",
    "[checkpoint]") {
  const TemporaryFolder folder;
  const auto file = folder / "file";
  save_for_flush(file, "old");
  std::vector<std::pair<Flushed, std::string>> seen;
  const FlushObserver observer([&](Flushed what) {
    seen.emplace_back(what, read_file(file));
    return 0;
  });
  save_for_flush(file, "new");
  REQUIRE(seen.size() == 2);
  CHECK((seen[0] == std::pair(Flushed::kFile, std::string("old"))));
  CHECK((seen[1] == std::pair(Flushed::kFolder, std::string("new"))));
}

TEST_CASE(
    "save_atomically: says what could not be flushed", "[checkpoint][error]") {
  const TemporaryFolder folder;
  const auto file = folder / "file";
  save_for_flush(file, "old");
  const auto message_where = [&](Flushed fails, int error) {
    const FlushObserver observer(
        [=](Flushed what) { return what == fails ? error : 0; });
    return message_of<c10::Error>([&] { save_for_flush(file, "new"); });
  };
  CHECK_THAT(
      message_where(Flushed::kFile, EIO),
      StartsWith(
          "save_atomically: cannot flush '" + file.string() +
          "': Input/output error"));
  CHECK(read_file(file) == "old");
  const auto unflushed = "save_atomically: cannot flush the folder of '" +
                         file.string() + "': Input/output error";
  CHECK(message_where(Flushed::kFolder, EIO) == unflushed);
  CHECK(read_file(file) == "old");
  std::filesystem::remove(file);
  CHECK(message_where(Flushed::kFolder, EIO) == unflushed);
  CHECK(std::filesystem::is_empty(folder.path()));
  save_for_flush(file, "old");
  // As a file system says whose folders cannot be flushed.
  CHECK(message_where(Flushed::kFolder, EINVAL) == "(no error)");
  CHECK(read_file(file) == "new");
}
