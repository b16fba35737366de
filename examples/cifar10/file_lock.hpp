// SPDX-License-Identifier: MIT
// That no two runs write one file.
#pragma once

#include <filesystem>
#include <string>

namespace cifar10 {

/// Keeps other processes that ask for a lock of the same file, by whatever
/// name, away from it. It is a hidden file beside that one, locked as long as
/// this process lives: one that a killed run has left holds nobody up.
class FileLock {
 public:
  /// Throws, in the name of `flag`, where another process has it, with its
  /// number, and where no file can be made beside `file`.
  FileLock(std::string flag, const std::filesystem::path& file);
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;
  ~FileLock();

  /// False on a file system without locks: other runs are not noticed there.
  bool works() const { return works_; }

  /// Makes sure of it before the file is written: its folder may have vanished
  /// meanwhile, and come back with the run of another process. Throws as the
  /// constructor.
  void renew();

 private:
  void acquire();
  bool is_in_place(int descriptor) const;

  std::string flag_;
  std::filesystem::path file_;
  std::filesystem::path lock_;
  int descriptor_ = -1;
  bool works_ = true;
};

}  // namespace cifar10
