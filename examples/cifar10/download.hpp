// SPDX-License-Identifier: MIT
// Gets the official CIFAR-10 archive through CMake's own downloader.
#pragma once

#include <filesystem>
#include <string>

namespace cifar10 {

struct Archive {
  std::string url = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz";
  std::string md5 = "c32a1d4ab5d03f1284b67883e8d87530";
};

/// The folder that downloads are kept in: `gatedpaths/cifar10` in the user's
/// cache folder ($XDG_CACHE_HOME, or else $HOME/.cache). Empty where neither
/// is set.
std::filesystem::path download_folder();

/// Downloads the archive, checks its md5, and unpacks it into `folder`, in the
/// place of what an earlier download left there. Throws `c10::Error` where that
/// fails; nothing of a broken or altered download is then used or kept.
void download(const Archive& archive, const std::filesystem::path& folder);

}  // namespace cifar10
