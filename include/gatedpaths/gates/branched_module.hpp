// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/branch_outputs.hpp>
#include <gatedpaths/branches/named_branch.hpp>
#include <gatedpaths/export.hpp>
#include <gatedpaths/gates/sample_gated_module.hpp>
#include <gatedpaths/gates/skip.hpp>

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace gatedpaths {
namespace detail {
class BranchList;
}  // namespace detail

class SlotConsumer;

/// What `ChoiceBlock`, `ConcatGate`, `StochasticDepth` and `LayerDrop` share:
/// branches of which each is registered as a child module under its name.
///
/// A module that several branches share is registered once, under the first
/// one's name: an optimizer must not step its parameters twice.
class GATEDPATHS_EXPORT BranchedModule : public torch::nn::Module,
                                         public SampleGatedModule {
 public:
  const torch::nn::Module& branch_module(int64_t index) const override;
  std::string_view gate_kind() const noexcept override;
  void check_kept(c10::IntArrayRef kept) const override;

  /// Moves as any module does, and forgets what the branches returned before.
  void to(torch::Device device, torch::Dtype dtype, bool non_blocking = false)
      override;
  /// \overload
  void to(torch::Dtype dtype, bool non_blocking = false) override;
  /// \overload
  void to(torch::Device device, bool non_blocking = false) override;

  /// Forgets what the branches returned before, so that their shapes are found
  /// out anew (see `OutputShape`). For branches whose shape something else
  /// decides than the input, their mode and their weights, and that are no
  /// `ShapeState`.
  void forget_outputs() noexcept;

  /// Whether the layer has taken `Slots` of this very gate (not of the one that
  /// it is a copy of) since it was made.
  bool feeds(const SlotConsumer& layer) const;

 protected:
  /// How closed branches are skipped; the same for all branches.
  struct Settings {
    std::string gate_kind;              ///< The class's name in messages.
    Skip skip;                          ///< Whether they run, without a graph.
    ClosedValue closed_value;           ///< What then stands for them.
    bool track_statistics;              ///< Whether their buffers then change.
    OutputShape output_shape;           ///< What they return, where declared.
    SampleCapacity capacity;            ///< With gates for each sample.
    std::optional<int64_t> concat_dim;  ///< The dim in which shapes may differ.
    int64_t min_open;                   ///< The fewest open branches.
    int64_t max_open;                   ///< The most open branches.
  };

  /// Registers the branches under their names.
  ///
  /// Throws: `c10::ValueError` for no branch, two branches of one name, an
  /// empty or dotted name, an empty holder, bounds that do not fit, or settings
  /// that contradict each other.
  BranchedModule(Settings settings, std::vector<NamedBranch<>> branches);

  /// The branch as it was given.
  ///
  /// Throws: `c10::IndexError` where there is no such branch.
  const AnyBranch& any_branch(int64_t index) const;

  /// The branch as `Child`: a holder, or a `shared_ptr` to the module.
  template <class Child>
  auto typed_branch(int64_t index) const {
    if constexpr (std::is_same_v<Child, AnyBranch>) {
      return any_branch(index);
    } else {
      return detail::ChildHandle<Child>(
          any_branch(index).template ptr<detail::ChildImpl<Child>>());
    }
  }

  /// Draws where that is asked for, runs the open branches, and the closed ones
  /// as their skip says. Values of closed branches are among the outputs only
  /// where `ClosedValue::kDetached` asks for them. With `open_samples`
  /// defined, runs each branch on its own samples instead.
  detail::BranchOutputs run_branches(
      const torch::Tensor& input, const torch::Tensor& open_samples);

  /// The branches, with what is known of their outputs; shared by copies until
  /// `clone_branches`.
  const std::shared_ptr<detail::BranchList>& branches() const noexcept {
    return branches_;
  }

  void drop_branches(c10::IntArrayRef kept) override;

  /// Replaces the branches of a fresh copy by deep copies.
  void copy_parts(const std::optional<torch::Device>& device);

  /// The open branches' names: `conv3x3, conv5x5`.
  std::string open_text() const;

  /// `skip=kZeroFill, min_open=1, max_open=1, open=[conv3x3]`.
  void print_gates(std::ostream& stream) const;

 private:
  detail::BranchOutputs run_samples(
      const torch::Tensor& input, const torch::Tensor& open);
  void register_branches();

  std::shared_ptr<detail::BranchList> branches_;
  ClosedValue closed_value_;
  bool track_statistics_;
};

}  // namespace gatedpaths
