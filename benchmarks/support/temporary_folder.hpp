// SPDX-License-Identifier: MIT
// Where a benchmark keeps the files that it reads.
#pragma once

#include <filesystem>
#include <random>
#include <string>
#include <system_error>

namespace bench {

/// A folder of its own, made when it is first asked for, that goes with what is
/// in it. To be owned by `main`, so that it also goes after an exception.
class TemporaryFolder {
 public:
  TemporaryFolder() = default;
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    if (!path_.empty()) {
      std::error_code ignored;
      std::filesystem::remove_all(path_, ignored);
    }
  }

  const std::filesystem::path& path() {
    std::random_device random;
    while (path_.empty()) {
      const auto path = std::filesystem::temp_directory_path() /
                        ("gatedpaths-bench-" + std::to_string(random()));
      if (std::filesystem::create_directory(path)) {
        path_ = path;
      }
    }
    return path_;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace bench
