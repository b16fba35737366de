// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace gatedpaths {

/// What a path costs something of.
enum class CostKind {
  kMacs,             ///< Multiply-accumulates of a forward.
  kFlops,            ///< Floating point operations of a forward.
  kParameters,       ///< Numbers in the parameters.
  kParameterBytes,   ///< Bytes of the parameters.
  kActivationBytes,  ///< Bytes that a training forward keeps for backward.
  kLatency,          ///< Seconds of a forward in eval mode.
};

/// All of them, in order.
inline constexpr std::array<CostKind, 6> kCostKinds{
    CostKind::kMacs,
    CostKind::kFlops,
    CostKind::kParameters,
    CostKind::kParameterBytes,
    CostKind::kActivationBytes,
    CostKind::kLatency};

/// `"macs"`, `"flops"`, `"parameters"`, `"parameter_bytes"`,
/// `"activation_bytes"` or `"latency"`.
GATEDPATHS_EXPORT std::string_view to_string(CostKind kind) noexcept;

/// What a path costs, or a part of one.
///
/// A part may have less than nothing: a branch that halves the resolution saves
/// what all after it would have cost.
struct GATEDPATHS_EXPORT PathCost {
  int64_t macs = 0;              ///< See `CostKind::kMacs`.
  int64_t flops = 0;             ///< See `CostKind::kFlops`.
  int64_t parameters = 0;        ///< See `CostKind::kParameters`.
  int64_t parameter_bytes = 0;   ///< See `CostKind::kParameterBytes`.
  int64_t activation_bytes = 0;  ///< See `CostKind::kActivationBytes`.
  double latency = 0;            ///< See `CostKind::kLatency`; the median.
  /// How far half of the measurements are from the median at most, in seconds;
  /// of several parts the sum.
  double latency_spread = 0;

  /// The cost of one kind.
  double of(CostKind kind) const noexcept;

  /// Adds the parts.
  PathCost& operator+=(const PathCost& other) noexcept;

  bool operator==(const PathCost&) const = default;
};

}  // namespace gatedpaths
