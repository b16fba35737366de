// SPDX-License-Identifier: MIT
#include "link_target.hpp"

#include <system_error>

namespace cifar10 {

namespace fs = std::filesystem;

// Link by link: the last one may lead to a name that is not there yet, which
// `weakly_canonical` does not follow.
fs::path link_target(fs::path file) {
  std::error_code error;
  for (int i = 0; i < 40 && fs::is_symlink(file, error); ++i) {
    file = file.parent_path() / fs::read_symlink(file, error);
  }
  const auto absolute = fs::absolute(file, error);
  if (error) {
    return file;  // the folder that this process is in has vanished
  }
  const auto target = fs::weakly_canonical(absolute, error);
  return error ? absolute.lexically_normal() : target;
}

fs::path folder_of(const fs::path& file) {
  return file.has_parent_path() ? file.parent_path() : fs::path(".");
}

}  // namespace cifar10
