// SPDX-License-Identifier: MIT
// Text of files and flags, made safe to show.
#pragma once

#include <string>
#include <string_view>

namespace cifar10 {

/// The text as UTF-8 without control characters: each byte of one, but for line
/// feeds, and each byte that is no UTF-8, stands as `\x1b` does for an escape.
std::string printable(std::string_view text);

}  // namespace cifar10
