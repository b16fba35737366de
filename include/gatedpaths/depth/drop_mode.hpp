// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <ostream>
#include <string_view>

namespace gatedpaths {

/// What `StochasticDepth` drops at once. In every mode a row of the batch is
/// kept with probability `keep = 1 - drop_rate`; the values stand in
/// checkpoints.
enum class DropMode {
  /// Each row by itself. The branch runs on all rows and the dropped ones' part
  /// is left out: saves nothing, but the branch sees the whole batch (batch
  /// norm's statistics). The law of torchvision's mode "row".
  kRow = 0,
  /// All rows or none (Huang et al., arXiv 1603.09382). Saves the drop rate on
  /// average, and is the noisiest.
  kBatch = 1,
  /// A subset of fixed size, and only its rows run: saves the drop rate in each
  /// step (DINOv2, Oquab et al., arXiv 2304.07193). Of `N` rows `floor(N keep)`
  /// are kept, plus one with the remainder as probability, so `N keep` on
  /// average for the smallest batches too; each set of rows is as likely as any
  /// other of its size. Batch norm in the branch sees the kept rows alone.
  kSubset = 2,
};

/// How the branch's part is scaled; the values stand in checkpoints. Write `f`
/// for the branch's output, of which each row comes from the same input row.
enum class DropScale {
  /// Not at all. Training gives `keep f` on average, eval `f`.
  kNone = 0,
  /// By `1 / keep` in training. The average is `f`, as in eval.
  kTrainInverse = 1,
  /// By `N / (k P(k > 0))` in training, where `k` of `N` rows are kept: with
  /// `kSubset`, by what was really kept, `N / k`. The average is `f`, as in
  /// eval: given `k`, a row is kept with probability `k / N`, so the average is
  /// the sum over `k > 0` of `P(k) (k / N) N / (k P(k > 0)) = 1`, times `f`.
  ///
  /// `P(k > 0)` is 1 under `kSubset` where `floor(N keep) >= 1`, else `N keep`
  /// (the scale is then `1 / keep`); `1 - (1 - keep)^N` under `kRow`; `keep`
  /// under `kBatch`, where `k` is `N` or 0, and the scale is `1 / keep`.
  kTrainRealised = 2,
  /// By `keep` in eval. Both average `keep f`.
  kEval = 3,
};

/// `"kRow"`, `"kBatch"` or `"kSubset"`.
GATEDPATHS_EXPORT std::string_view to_string(DropMode mode) noexcept;

/// `"kNone"`, `"kTrainInverse"`, `"kTrainRealised"` or `"kEval"`.
GATEDPATHS_EXPORT std::string_view to_string(DropScale scale) noexcept;

/// Writes `to_string(mode)`.
GATEDPATHS_EXPORT std::ostream& operator<<(std::ostream& stream, DropMode mode);

/// Writes `to_string(scale)`.
GATEDPATHS_EXPORT std::ostream& operator<<(
    std::ostream& stream, DropScale scale);

}  // namespace gatedpaths
