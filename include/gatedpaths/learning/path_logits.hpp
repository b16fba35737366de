// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/deep_copy.hpp>
#include <gatedpaths/export.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/paths/space_layout.hpp>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <ostream>
#include <string_view>
#include <vector>

namespace gatedpaths {

/// The module behind `PathLogits`, which see.
class GATEDPATHS_EXPORT PathLogitsImpl
    : public detail::CopiedByClone<PathLogitsImpl, torch::nn::Module> {
 public:
  /// Zeros for each gate of a `PathSpace`, or of its `layout()` without a
  /// network.
  ///
  /// Throws: `c10::ValueError` for a space without a gate, for a gate that
  /// opens neither exactly one branch nor any number of them, and for a null
  /// `layout`.
  explicit PathLogitsImpl(std::shared_ptr<const SpaceLayout> layout);

  /// The structure of the space that the logits belong to.
  const SpaceLayout& layout() const noexcept { return *layout_; }

  /// Whether exactly one branch of the gate is open (a softmax); else each
  /// branch opens by itself (a sigmoid).
  ///
  /// Throws: `c10::IndexError` where there is no such gate.
  bool one_of(int64_t gate) const;

  /// The logits of a gate: the parameter itself, `[branches]`.
  ///
  /// Throws: `c10::IndexError` where there is no such gate.
  const torch::Tensor& logits(int64_t gate) const;
  /// \overload
  const torch::Tensor& logits(std::string_view gate) const;

  /// The probability that each branch of the gate is open where the gate is
  /// reached, `[branches]`; differentiable.
  ///
  /// Throws: `c10::IndexError` where there is no such gate.
  torch::Tensor probabilities(int64_t gate) const;
  /// \overload
  torch::Tensor probabilities(std::string_view gate) const;

  /// The logarithm of the probability that `draw` gives this path, a scalar;
  /// differentiable. Only gates that the path reaches count.
  ///
  /// Throws: `c10::ValueError` for a path of another space.
  torch::Tensor log_probability(const Path& path) const;

  /// By gate, the probability that it is reached, scalars; differentiable.
  ///
  /// Throws: `c10::ValueError` for a gate in several places that are not
  /// branches of one gate with one open branch: which of them are open together
  /// is then no product of probabilities.
  std::vector<torch::Tensor> reach_probabilities() const;

  /// The likeliest setting of each gate that the settings before it reach: the
  /// branch with the largest logit (the first of equal ones), or each branch
  /// with a logit above 0. With nested gates this need not be the likeliest
  /// path. Reads the logits, as `values` does.
  Path most_probable() const;

  /// The path of step `step` of the stream `seed`: each reached gate by its
  /// probabilities, independently. The gate with the number g draws from a
  /// stream that is a function of (seed, step, g) alone (Philox4x32-10); a gate
  /// with one open branch by the largest of logit plus Gumbel noise (Gumbel,
  /// 1954). Reads the logits, as `values` does.
  Path draw(uint64_t seed, uint64_t step) const;

  /// The logits as numbers on the host, by gate and branch. Waits for the
  /// device once, for all gates.
  ///
  /// Throws: `c10::Error` that names the gate and branch where one is not
  /// finite.
  std::vector<std::vector<double>> values() const;

  /// A deep copy that shares nothing but the structure.
  std::shared_ptr<torch::nn::Module> clone(
      const std::optional<torch::Device>& device = std::nullopt) const override;

  /// Prints `gatedpaths::PathLogits(gates=2, branches=5)`.
  void pretty_print(std::ostream& stream) const override;

 private:
  void watch(int64_t gate);

  std::shared_ptr<const SpaceLayout> layout_;
  std::vector<torch::Tensor> logits_;
};

/// A distribution over the paths of a space that can be learned: the
/// architecture parameters of differentiable search (Liu et al., "DARTS",
/// arXiv:1806.09055; Cai et al., "ProxylessNAS", arXiv:1812.00332).
///
/// For each gate one parameter `[branches]`, zeros at first, so that all is
/// equally likely. A gate with exactly one open branch (`min_open` = `max_open`
/// = 1) opens branch k with probability softmax(logits)[k]; a gate that may
/// open any number (0 to all, as `GatedBranch` and `ConcatGate`) opens each
/// branch with probability sigmoid(logits[k]), independently.
///
/// It is a module of its own beside the network, and never registered in it:
/// `net->parameters()` does not have the logits, so that an optimizer of the
/// weights cannot take them by accident. Give `logits->parameters()` to an
/// optimizer of their own.
///
/// A parameter is called as its gate is in the space, with `/` for each dot
/// (LibTorch allows none), and `%2F` and `%25` for a `/` and `%` that the name
/// has: `"blocks/3/choice"`, and `"/"` for a root that is a gate.
///
/// A gradient that is not finite never reaches the logits: `backward()` throws
/// a `c10::Error` that names the gate, and the parameter's gradient stays as it
/// was. (Those of other gates and of the network may have changed: clear them.)
/// For this the gradient is read, so that on CUDA each backward waits for the
/// device once a gate that has one.
///
/// Training and eval: the same.
///
/// Throws, when made: `c10::ValueError` for a gate with other bounds, a space
/// without a gate, or a null `layout`.
///
/// Example:
/// ```
/// gatedpaths::PathSpace space(net);
/// gatedpaths::PathLogits logits(space);
/// torch::optim::Adam architecture(logits->parameters(), 3e-3);
/// logits->probabilities("block");          // [0.25, 0.25, 0.25, 0.25]
/// space.apply(logits->most_probable());
/// ```
TORCH_MODULE(PathLogits);

}  // namespace gatedpaths
