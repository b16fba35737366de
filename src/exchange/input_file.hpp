// SPDX-License-Identifier: MIT
// A file that is read in pieces. Not installed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace gatedpaths::detail {

/// A regular file that is open for reading. Errors are in the name of
/// `function`.
class InputFile {
 public:
  /// Throws: `c10::ValueError` for what is not a regular file, `c10::Error`
  /// with the system's reason where it cannot be opened.
  InputFile(std::string_view function, std::filesystem::path path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  uint64_t size() const noexcept { return size_; }

  /// Reads `size` bytes from `offset` on, which are in the file.
  ///
  /// Throws: `c10::Error` where the system does not give them, as from a file
  /// that was cut meanwhile.
  void read(void* target, uint64_t size, uint64_t offset) const;

  /// All of it.
  std::string read_all() const;

  /// `load_safetensors: 'net.safetensors'`, as messages begin.
  std::string label() const;

 private:
  std::string_view function_;
  std::filesystem::path path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

}  // namespace gatedpaths::detail
