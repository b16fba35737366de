// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/modules/output_shape.hpp>
#include <gatedpaths/modules/skip.hpp>

#include <utility>

namespace gatedpaths {

/// What the options of all gated modules share: how a closed branch is skipped.
///
/// None of these may be changed after the module was made.
template <class Derived>
class ClosedBranchOptions {
 public:
  /// What a closed branch does instead of running. Default: `kZeroFill`.
  Derived& skip(Skip value) {
    skip_ = value;
    return self();
  }
  /// \overload
  Skip skip() const noexcept { return skip_; }

  /// What a closed branch gives: zeros, or (under `kNoGrad` only) its detached
  /// output. Default: `kZeros`.
  Derived& closed_value(ClosedValue value) {
    closed_value_ = value;
    return self();
  }
  /// \overload
  ClosedValue closed_value() const noexcept { return closed_value_; }

  /// Whether a branch closed by `kNoGrad` keeps what its forward wrote to its
  /// buffers, such as batch norm's running statistics. Default: false, so that
  /// both skips leave the same buffers. The random streams are restored in any
  /// case.
  Derived& track_statistics(bool value) {
    track_statistics_ = value;
    return self();
  }
  /// \overload
  bool track_statistics() const noexcept { return track_statistics_; }

  /// The shape of a closed branch's output, for every branch that declares none
  /// of its own. Default: not declared, found out (see `OutputShape`).
  Derived& output_shape(OutputShape value) {
    output_shape_ = std::move(value);
    return self();
  }
  /// \overload
  const OutputShape& output_shape() const noexcept { return output_shape_; }

 private:
  Derived& self() { return static_cast<Derived&>(*this); }

  Skip skip_ = Skip::kZeroFill;
  ClosedValue closed_value_ = ClosedValue::kZeros;
  bool track_statistics_ = false;
  OutputShape output_shape_;
};

}  // namespace gatedpaths
