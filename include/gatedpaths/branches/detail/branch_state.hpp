// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/shape_state.hpp>
#include <gatedpaths/export.hpp>

#include <c10/core/TensorImpl.h>
#include <c10/core/UndefinedTensorImpl.h>
#include <c10/util/intrusive_ptr.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace gatedpaths::detail {

/// What in a branch itself decides the shape, dtype and memory format of its
/// output, as one number: its mode, what its weights look like, and every
/// `ShapeState` in it.
///
/// One weight stands for all, since looking at each would cost time in every
/// forward: the first of at least four dims, whose memory format a convolution
/// hands on, else the first.
class GATEDPATHS_EXPORT BranchState {
 public:
  BranchState() = default;
  // A copy is of another module, and looks for itself.
  BranchState(const BranchState& /*other*/) {}
  BranchState& operator=(const BranchState& other);
  BranchState(BranchState&&) = default;
  BranchState& operator=(BranchState&&) = default;
  ~BranchState() = default;

  /// The number for `module`, always the same module.
  uint64_t of(const torch::nn::Module& module);

 private:
  // Weak, so that parts which the module has given up are not kept.
  using Weight =
      c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>;
  struct Part {
    std::weak_ptr<torch::nn::Module> owner;
    const ShapeState* state;
  };

  void find(const torch::nn::Module& module);
  void find_parts(const torch::nn::Module& module);
  std::optional<uint64_t> try_of(const torch::nn::Module& module) const;

  bool found_ = false;
  std::optional<Weight> weight_;
  const ShapeState* own_ = nullptr;
  std::vector<Part> parts_;
};

}  // namespace gatedpaths::detail
