// SPDX-License-Identifier: MIT
#include <gatedpaths/exchange/checkpoint.hpp>

#include "temporary_file.hpp"

#include <c10/util/Exception.h>

#include <sys/stat.h>

#include <cerrno>
#include <exception>
#include <filesystem>
#include <system_error>

namespace gatedpaths {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxLinks = 40;  // as Linux follows at most

// Also where the last link names what is not there yet; only the last part of
// the path is looked at, since the system follows the others.
fs::path follow_links(const fs::path& path) {
  fs::path target = path;
  std::error_code error;
  for (int links = 0; fs::is_symlink(target, error); ++links) {
    if (links == kMaxLinks) {
      detail::fail_to_save("follow", path, ELOOP);
    }
    const fs::path next = fs::read_symlink(target, error);
    if (error) {
      detail::fail_to_save("follow", path, error.value());
    }
    target = target.parent_path() / next;  // an absolute one takes its place
  }
  return target;
}

}  // namespace

void save_atomically(
    const fs::path& path,
    const std::function<void(const ByteSink& sink)>& write) {
  const fs::path target = follow_links(path);
  struct stat old {};
  const bool replaces = ::stat(target.c_str(), &old) == 0;
  TORCH_CHECK_VALUE(
      !replaces || S_ISREG(old.st_mode),
      "save_atomically: expected a regular file or a new name, got '",
      path.string(),
      "', which is ",
      S_ISDIR(old.st_mode) ? "a folder" : "a special file");
  detail::TemporaryFile file(target, replaces ? old.st_mode & 07777U : 0U);
  write([&file](const void* data, std::size_t size) {
    file.write(static_cast<const char*>(data), size);
    return size;
  });
  file.rename_to_target();
}

void save_atomically(
    const fs::path& path, torch::serialize::OutputArchive& archive) {
  save_atomically(
      path, [&archive](const ByteSink& sink) { save_to(sink, archive); });
}

void save_to(const ByteSink& sink, torch::serialize::OutputArchive& archive) {
  std::exception_ptr thrown;
  archive.save_to([&](const void* data, std::size_t size) {
    if (!thrown) {
      try {
        return sink(data, size);
      } catch (...) {
        thrown = std::current_exception();
      }
    }
    return size;
  });
  if (thrown) {
    std::rethrow_exception(thrown);
  }
}

}  // namespace gatedpaths
