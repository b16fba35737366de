// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <string_view>

namespace gatedpaths::detail {

/// A new file beside `target` that removes itself unless it was renamed to it.
///
/// Its name does not grow with the target's, and it is locked while it lives:
/// so what a killed process has left is known by its lock that nobody holds,
/// and goes when the next file for the same target is made.
class TemporaryFile {
 public:
  /// `mode`: the permissions, or 0 for those of any new file.
  TemporaryFile(const std::filesystem::path& target, mode_t mode);
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile();

  /// The first failure is kept for `rename_to_target`, and nothing is written
  /// after it: who gives the bytes may be unable to take an exception, as
  /// LibTorch's writer of archives is, which writes on in its destructor.
  void write(const char* data, std::size_t size) noexcept;

  /// Flushes it to the disk and puts it in the target's place.
  ///
  /// Throws: `c10::Error` with the path and the reason where that, or a write
  /// before, fails. The old file is then in its place, or none where none was.
  void rename_to_target();

 private:
  bool create(mode_t mode);

  std::filesystem::path target_;
  std::filesystem::path path_;
  int descriptor_ = -1;
  int write_error_ = 0;
  bool renamed_ = false;
};

/// Throws the `c10::Error` of a step that the system refused.
[[noreturn]] void fail_to_save(
    std::string_view action,
    const std::filesystem::path& path,
    int error_number);

}  // namespace gatedpaths::detail
