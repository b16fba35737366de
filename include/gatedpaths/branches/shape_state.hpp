// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <cstdint>

namespace gatedpaths {

/// A module that says what, beside its arguments, its mode and its weights,
/// decides the shape, dtype or memory format of what it returns: a width, depth
/// or resolution that is set on it.
///
/// Training and eval: gates remember what a branch returned for each number
/// that `shape_state` gives, so that the zeros in place of a closed branch
/// always have its present shape. It is asked whenever a branch with such
/// modules runs, or zeros stand in for it, so it should be quick. A branch may
/// have any number of them, at any depth.
///
/// Without it a change is noticed when a branch next runs: what it returns is
/// right, and all that its gate remembered is then forgotten. Until then the
/// zeros have the former shape. See also `forget_outputs` of the gates.
///
/// Example:
/// ```
/// struct ElasticLinearImpl : torch::nn::Module, gatedpaths::ShapeState {
///   torch::Tensor forward(const torch::Tensor& x) {
///     return torch::linear(x, weight.narrow(0, 0, width));
///   }
///   int64_t shape_state() const override { return width; }
///
///   int64_t width = 64;
///   torch::Tensor weight = register_parameter("weight", torch::randn({64,
///   8}));
/// };
/// ```
class GATEDPATHS_EXPORT ShapeState {
 public:
  virtual ~ShapeState();

  /// A number that differs where the shape of an output may: the width itself,
  /// or a hash of several settings.
  virtual int64_t shape_state() const = 0;

 protected:
  ShapeState() = default;
  /// Copied with the module.
  ShapeState(const ShapeState&) = default;
  /// \overload
  ShapeState(ShapeState&&) = default;
  /// Assigned with the module.
  ShapeState& operator=(const ShapeState&) = default;
  /// \overload
  ShapeState& operator=(ShapeState&&) = default;
};

}  // namespace gatedpaths
