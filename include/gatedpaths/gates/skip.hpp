// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <ostream>
#include <string_view>

namespace gatedpaths {

/// What a closed branch does instead of running.
///
/// The two are interchangeable: the same output bits, the same gradients, the
/// same buffers and random streams afterwards. They differ in cost, and in what
/// must be known about the branch.
enum class Skip {
  /// The branch is not run; zeros stand in its place. Costs no forward. The
  /// shape of its output must be known (see `OutputShape`).
  kZeroFill,
  /// The branch runs without a graph, and its output is replaced. Costs its
  /// forward, but no backward and no kept activations. Needs no shape. What it
  /// draws are the next numbers of LibTorch's default streams, which stay where
  /// they are, whatever other threads draw meanwhile (the workers of a data
  /// loader). Code that draws from a default generator without an operator of
  /// LibTorch moves that stream on.
  ///
  /// What the run changed in the branch is put back: its buffers, the gates and
  /// training flags in it, the slots that it used, weights that an embedding
  /// with `max_norm` renormalises. For a branch whose forward changes other
  /// parameters, or registers parameters, buffers or modules, `forward` throws
  /// a `c10::ValueError` that names it. What a module keeps unregistered stays
  /// as its forward left it.
  kNoGrad,
};

/// What a closed branch gives to what comes behind it.
enum class ClosedValue {
  /// Zeros, made as zeros: an inf or NaN in the branch does not reach them.
  kZeros,
  /// The output of the branch without a graph, in memory of its own. Only with
  /// `Skip::kNoGrad`.
  kDetached,
};

/// `"kZeroFill"` or `"kNoGrad"`.
GATEDPATHS_EXPORT std::string_view to_string(Skip skip) noexcept;

/// `"kZeros"` or `"kDetached"`.
GATEDPATHS_EXPORT std::string_view to_string(ClosedValue value) noexcept;

/// Writes `to_string(skip)`.
GATEDPATHS_EXPORT std::ostream& operator<<(std::ostream& stream, Skip skip);

/// Writes `to_string(value)`.
GATEDPATHS_EXPORT std::ostream& operator<<(
    std::ostream& stream, ClosedValue value);

}  // namespace gatedpaths
