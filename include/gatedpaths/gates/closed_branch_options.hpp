// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/output_shape.hpp>
#include <gatedpaths/gates/sample_capacity.hpp>
#include <gatedpaths/gates/skip.hpp>

#include <cstdint>
#include <utility>

namespace gatedpaths {

/// What the options of all gated modules share: how a closed branch is skipped,
/// and how many samples a branch may run on where each has gates of its own.
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
  /// both skips leave the same buffers. The random streams stay in any case.
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

  /// The most samples that a branch may run on in one forward with gates for
  /// each sample (see `SampleGatedModule`). Default: no limit. Only with
  /// `Skip::kZeroFill`.
  Derived& capacity(int64_t samples) {
    sample_capacity_.limit = samples;
    return self();
  }
  /// What happens to samples beyond the capacity. Default: `kRefuse`.
  Derived& overflow(Overflow value) {
    sample_capacity_.overflow = value;
    return self();
  }
  /// Names the stream that draws which samples `Overflow::kDrop` keeps.
  /// Default: one that no other module has, the same in each run that makes its
  /// modules in the same order. See `seed_draws`.
  Derived& capacity_seed(uint64_t seed) {
    sample_capacity_.seed = seed;
    return self();
  }
  /// What was set by `capacity`, `overflow` and `capacity_seed`.
  const SampleCapacity& sample_capacity() const noexcept {
    return sample_capacity_;
  }

 private:
  Derived& self() { return static_cast<Derived&>(*this); }

  Skip skip_ = Skip::kZeroFill;
  ClosedValue closed_value_ = ClosedValue::kZeros;
  bool track_statistics_ = false;
  OutputShape output_shape_;
  SampleCapacity sample_capacity_;
};

}  // namespace gatedpaths
