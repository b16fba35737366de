// SPDX-License-Identifier: MIT
// Which parameters a backward has given a gradient. Not installed.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace gatedpaths::detail {

/// Notes which of some parameters may have a gradient, without looking at the
/// others: a hook on each tells when a backward comes to it.
///
/// The hooks stand on the parameters themselves, so that they stay where data
/// is replaced (another dtype or device) and no clone has them. They run
/// before a gradient is added up and for `autograd::grad` too: what is noted
/// may have none.
class GradientWatch {
 public:
  /// Parameters are named by their places in this list.
  explicit GradientWatch(std::vector<at::Tensor> parameters);
  ~GradientWatch();
  GradientWatch(const GradientWatch&) = delete;
  GradientWatch& operator=(const GradientWatch&) = delete;

  /// Those that were noted, in order.
  std::vector<size_t> noted() const;

  /// Notes those that have a gradient now. Takes time in all.
  void look_at_all();

  /// Leaves out those that have no gradient now.
  void drop_undefined();

  /// Leaves out all.
  void clear();

 private:
  struct Noted;

  std::vector<at::Tensor> parameters_;
  std::shared_ptr<Noted> noted_;
  std::vector<std::pair<size_t, unsigned>> hooks_;  // parameter, its hook
};

}  // namespace gatedpaths::detail
