// SPDX-License-Identifier: MIT
#include <gatedpaths/exchange/checkpoint.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/file_limit.hpp"
#include "support/files.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

namespace gatedpaths {
namespace {

namespace fs = std::filesystem;
namespace nn = torch::nn;

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using test::FileLimit;
using test::message_of;
using test::read_file;
using test::TemporaryFolder;

std::ptrdiff_t count_files(const TemporaryFolder& folder) {
  return std::distance(fs::directory_iterator(folder.path()), {});
}

void save_text(const fs::path& file, const std::string& text) {
  save_atomically(file, [&text](const ByteSink& sink) {
    CHECK(sink(text.data(), text.size()) == text.size());
  });
}

nn::Linear saved_net() { return nn::Linear(30, 40); }

std::string message_on_full_disk(rlim_t bytes, const auto& save) {
  const FileLimit limit(bytes);
  return message_of<c10::Error>(save);
}

}  // namespace

TEST_CASE("save_atomically: writes and replaces a file", "[checkpoint]") {
  const TemporaryFolder folder;
  const auto file = folder / "file";
  save_text(file, "one");
  CHECK(read_file(file) == "one");
  save_text(file, "another");
  CHECK(read_file(file) == "another");
  save_text(file, "");
  CHECK(read_file(file).empty());
  CHECK(count_files(folder) == 1);
}

TEST_CASE(
    "save_atomically: the old file stays whole until the new one is",
    "[checkpoint][error]") {
  const TemporaryFolder folder;
  const auto file = folder / "file";
  save_text(file, "old");
  CHECK_THROWS_AS(
      save_atomically(
          file,
          [&](const ByteSink& sink) {
            sink("half of the ", 12);
            // What a crash here would leave: the old file, and one beside it.
            CHECK(read_file(file) == "old");
            CHECK(count_files(folder) == 2);
            throw std::runtime_error("stop");
          }),
      std::runtime_error);
  CHECK(read_file(file) == "old");
  CHECK(count_files(folder) == 1);
}

TEST_CASE(
    "save_atomically: keeps permissions and follows links", "[checkpoint]") {
  const TemporaryFolder folder;
  const auto file = folder / "file";
  save_text(file, "old");
  const auto mode =
      fs::perms::owner_read | fs::perms::owner_write | fs::perms::group_read;
  fs::permissions(file, mode);
  fs::create_symlink("file", folder / "link");
  save_text(folder / "link", "new");
  CHECK(fs::is_symlink(folder / "link"));
  CHECK(read_file(file) == "new");
  CHECK(fs::status(file).permissions() == mode);
}

TEST_CASE("save_atomically: a bare file name is one here", "[checkpoint]") {
  const TemporaryFolder folder;
  const auto before = fs::current_path();
  fs::current_path(folder.path());
  save_text("file", "text");
  fs::current_path(before);
  CHECK(read_file(folder / "file") == "text");
}

TEST_CASE(
    "save_atomically: names the path and the reason", "[checkpoint][error]") {
  const TemporaryFolder folder;
  CHECK_THAT(
      message_of<c10::Error>([&] { save_text(folder / "none/file", "text"); }),
      StartsWith("save_atomically: cannot create a file beside '") &&
          ContainsSubstring("none/file': No such file or directory"));
  fs::create_directory(folder / "folder");
  CHECK(
      message_of<c10::Error>([&] { save_text(folder / "folder", "text"); }) ==
      "save_atomically: expected a regular file or a new name, got '" +
          (folder / "folder").string() + "', which is a folder");
  CHECK(
      message_of<c10::Error>([] { save_text("/dev/null", "text"); }) ==
      "save_atomically: expected a regular file or a new name, got "
      "'/dev/null', which is a special file");
}

TEST_CASE("save_atomically: writes an archive", "[checkpoint][serialize]") {
  const TemporaryFolder folder;
  auto saved = saved_net();
  torch::serialize::OutputArchive out;
  saved->save(out);
  save_atomically(folder / "net.pt", out);

  torch::serialize::InputArchive in;
  in.load_from((folder / "net.pt").string());
  auto loaded = saved_net();
  CHECK_FALSE(saved->parameters()[0].equal(loaded->parameters()[0]));
  load_checked(*loaded, in);
  CHECK(saved->parameters()[0].equal(loaded->parameters()[0]));
  CHECK(count_files(folder) == 1);
}

TEST_CASE(
    "save_atomically: a full disk is an error, wherever it is full",
    "[checkpoint][error]") {
  const TemporaryFolder folder;
  const auto file = folder / "net.pt";
  auto net = saved_net();
  const auto archive = [&] {
    torch::serialize::OutputArchive out;
    net->save(out);
    return out;
  };
  auto whole = archive();
  save_atomically(file, whole);
  const auto size = static_cast<rlim_t>(fs::file_size(file));
  save_text(file, "old");
  const std::string expected =
      "save_atomically: cannot write '" + file.string() + "': File too large";

  std::vector<rlim_t> limits = {0, 1, 10, 63, 64, 65, size - 100, size - 10};
  for (rlim_t limit = 100; limit < size; limit += 500) {
    limits.push_back(limit);
  }
  for (const rlim_t limit : limits) {
    CAPTURE(limit, size);
    auto out = archive();
    CHECK(message_on_full_disk(limit, [&] {
            save_atomically(file, out);
          }) == expected);
    auto by_hand = archive();
    CHECK(message_on_full_disk(limit, [&] {
            save_atomically(
                file, [&](const ByteSink& sink) { by_hand.save_to(sink); });
          }) == expected);
    CHECK(read_file(file) == "old");
    CHECK(count_files(folder) == 1);
  }
  CHECK(
      message_on_full_disk(5, [&] { save_text(file, "123456"); }) == expected);
  CHECK(read_file(file) == "old");
  auto again = archive();
  save_atomically(file, again);
  CHECK(fs::file_size(file) == size);
}

TEST_CASE("save_to: a sink may throw at any byte", "[checkpoint][error]") {
  auto net = saved_net();
  std::string whole;
  const auto save = [&](const ByteSink& sink) {
    torch::serialize::OutputArchive out;
    net->save(out);
    save_to(sink, out);
  };
  save([&](const void* data, std::size_t size) {
    whole.append(static_cast<const char*>(data), size);
    return size;
  });
  for (std::size_t stop = 0; stop < whole.size(); stop += 300) {
    std::string bytes;
    CHECK_THROWS_AS(
        save([&](const void* data, std::size_t size) {
          bytes.append(static_cast<const char*>(data), size);
          if (bytes.size() > stop) {
            throw std::runtime_error("stop");
          }
          return size;
        }),
        std::runtime_error);
    CHECK(whole.starts_with(bytes));
  }
}

TEST_CASE(
    "save_atomically: follows links to files that are not there yet",
    "[checkpoint]") {
  const TemporaryFolder folder;
  fs::create_directory(folder / "other");
  const auto file = folder / "other/file";
  const auto link = folder / "link";
  SECTION("absolute") { fs::create_symlink(file, link); }
  SECTION("relative") { fs::create_symlink("other/file", link); }
  SECTION("by another link") {
    fs::create_symlink("../other/file", folder / "other/second");
    fs::create_symlink("other/second", link);
  }
  save_text(link, "new");
  CHECK(fs::is_symlink(link));
  CHECK(fs::is_regular_file(fs::symlink_status(file)));
  CHECK(read_file(file) == "new");
  save_text(link, "newer");
  CHECK(fs::is_symlink(link));
  CHECK(read_file(file) == "newer");
}

TEST_CASE(
    "save_atomically: links that end nowhere are an error",
    "[checkpoint][error]") {
  const TemporaryFolder folder;
  fs::create_symlink("b", folder / "a");
  fs::create_symlink("a", folder / "b");
  CHECK(
      message_of<c10::Error>([&] { save_text(folder / "a", "text"); }) ==
      "save_atomically: cannot follow '" + (folder / "a").string() +
          "': Too many levels of symbolic links");
  CHECK(fs::is_symlink(folder / "a"));
  fs::create_symlink("none/file", folder / "c");
  CHECK_THAT(
      message_of<c10::Error>([&] { save_text(folder / "c", "text"); }),
      ContainsSubstring("none/file': No such file or directory"));
}

TEST_CASE(
    "save_atomically: takes every name that the file system takes",
    "[checkpoint]") {
  const TemporaryFolder folder;
  for (const std::size_t length : {200U, 244U, 245U, 250U, 255U}) {
    const auto file = folder / std::string(length, 'n');
    save_text(file, "one");
    save_text(file, "two");
    CHECK(read_file(file) == "two");
  }
  CHECK_THAT(
      message_of<c10::Error>(
          [&] { save_text(folder / std::string(256, 'n'), "text"); }),
      ContainsSubstring("File name too long"));
  CHECK(count_files(folder) == 5);
}

TEST_CASE(
    "save_atomically: removes what a killed process left, and nothing else",
    "[checkpoint]") {
  const TemporaryFolder folder;
  const auto file = folder / "file";
  save_text(folder / "neighbour", "whole");
  const auto kill_while_saving = [&](const fs::path& target) {
    const pid_t child = ::fork();
    if (child == 0) {
      save_atomically(target, [](const ByteSink& sink) {
        sink("half", 4);
        ::kill(::getpid(), SIGKILL);
      });
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
  };
  kill_while_saving(file);
  kill_while_saving(file);
  kill_while_saving(folder / "neighbour");
  CHECK(count_files(folder) >= 2);
  save_atomically(file, [&](const ByteSink& sink) {
    sink("one", 3);
    // The one that is being written is not taken for left over.
    save_text(file, "two");
  });
  CHECK(read_file(file) == "one");
  CHECK(read_file(folder / "neighbour") == "whole");
  CHECK(count_files(folder) == 3);  // the neighbour's own left-over stays
  save_text(folder / "neighbour", "whole");
  CHECK(count_files(folder) == 2);
}

}  // namespace gatedpaths
