// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <cstdint>
#include <optional>
#include <ostream>
#include <string_view>

namespace gatedpaths {

/// What happens to the samples of a branch beyond its capacity.
enum class Overflow {
  /// An error that names the branch.
  kRefuse,
  /// They are closed for this branch. In training those that stay are drawn,
  /// all sets of them with the same probability; in eval the first ones stay.
  kDrop,
};

/// `"kRefuse"` or `"kDrop"`.
GATEDPATHS_EXPORT std::string_view to_string(Overflow overflow) noexcept;

/// Writes `to_string(overflow)`.
GATEDPATHS_EXPORT std::ostream& operator<<(
    std::ostream& stream, Overflow overflow);

/// How many samples a branch may run on in a forward with gates for each
/// sample. Set through `ClosedBranchOptions`. `GateDecision::run` runs on
/// closed samples too in training: there it is how many may be open.
struct SampleCapacity {
  std::optional<int64_t> limit;           ///< At least 1; no limit where empty.
  Overflow overflow = Overflow::kRefuse;  ///< What happens beyond it.
  /// Names the stream that `kDrop` draws from; where empty, it is one that no
  /// other module has.
  std::optional<uint64_t> seed{};
};

}  // namespace gatedpaths
