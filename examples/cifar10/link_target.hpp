// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>

namespace cifar10 {

/// The file that is written where this name is written, without links. It need
/// not be there yet, nor its folder.
std::filesystem::path link_target(std::filesystem::path file);

/// "." for a bare name.
std::filesystem::path folder_of(const std::filesystem::path& file);

}  // namespace cifar10
