// SPDX-License-Identifier: MIT
// Standard output, which may be a file on a full disk.
#pragma once

#include <cstdio>
#include <string_view>

namespace cifar10 {

/// Writes the text at once. Where that fails, stderr gets one line with the
/// reason, the first time, and `std::ferror(out)` stays set. The run goes on,
/// since its checkpoint is worth more than its lines.
void write_out(std::FILE* out, std::string_view text);

}  // namespace cifar10
