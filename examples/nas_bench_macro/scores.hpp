// SPDX-License-Identifier: MIT
// What the supernet says of its paths, and as a file that is small enough to
// keep.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace nas_bench_macro {

/// Of one path, on the held-out images.
struct Score {
  double accuracy = 0;  ///< From 0 to 1.
  double loss = 0;      ///< Cross-entropy.
};

/// By the benchmark's text of the net.
using Scores = std::map<std::string, Score>;

/// Writes a line a net, `00000000 0.347 1.8211`, below `notes`, a line each
/// after `#`. The old file stays until the new one is whole.
void write_scores(
    const std::filesystem::path& file,
    const std::vector<std::string>& notes,
    const Scores& scores);

/// Reads such a file; the notes come into `notes`.
///
/// Throws: `c10::Error` where the file cannot be read; `c10::ValueError`, with
/// the line, for one of another form, a net that is none or comes twice, an
/// accuracy out of range, a loss that is not finite, or no net at all.
Scores read_scores(
    const std::filesystem::path& file, std::vector<std::string>& notes);

}  // namespace nas_bench_macro
