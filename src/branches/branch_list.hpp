// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/branch_label.hpp>
#include <gatedpaths/branches/detail/closed_spec.hpp>
#include <gatedpaths/branches/detail/output_memory.hpp>
#include <gatedpaths/branches/named_branch.hpp>
#include <gatedpaths/branches/output_shape.hpp>
#include <gatedpaths/export.hpp>

#include "hollow.hpp"

#include <c10/util/ArrayRef.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gatedpaths::detail {

/// The branches of one gate on one input: runs them, remembers what they
/// return, and holds their shapes against each other.
class BranchList {
 public:
  /// `concat_dim`: the dim along which outputs may differ; without it all must
  /// have one shape.
  BranchList(
      std::string gate_kind,
      std::vector<NamedBranch<>> branches,
      OutputShape default_shape,
      std::optional<int64_t> concat_dim);

  /// How many there are, those that are gone included. All functions number
  /// branches in this list, where what is gone keeps its place.
  int64_t size() const noexcept {
    return static_cast<int64_t>(branches_.size());
  }

  /// How many are not gone.
  int64_t num_kept() const noexcept {
    return static_cast<int64_t>(places_.size());
  }
  /// The number in this list of the branch that is `kept` among those not gone:
  /// as gates and their users number them.
  int64_t place(int64_t kept) const {
    return places_[static_cast<size_t>(kept)];
  }
  /// The branch that is `kept` among those not gone.
  const NamedBranch<>& kept(int64_t kept) const { return (*this)[place(kept)]; }

  /// Whether the module of this kept branch is that of none before it.
  bool is_first_with_module(int64_t kept) const;

  /// The list without all but the branches `kept`, which are numbered among
  /// those not gone. What is gone is still asked for the shape of its zeros,
  /// see `make_hollow`.
  std::shared_ptr<BranchList> narrowed(c10::IntArrayRef kept) const;

  /// Moves the modules that are gone, which no module registers.
  template <class... To>
  void move_gone(To... to) const {
    for (const auto& module : gone()) {
      const HollowTensors hollow(*module);
      module->to(to...);
    }
  }
  const NamedBranch<>& operator[](int64_t index) const {
    return branches_[static_cast<size_t>(index)];
  }
  /// The names of those that are not gone.
  std::vector<std::string> names() const;
  const std::string& gate_kind() const noexcept { return gate_kind_; }
  /// How messages name a branch; valid as long as the list.
  BranchLabel label(int64_t index) const {
    return {gate_kind_, index, (*this)[index].name};
  }

  /// The entry for such an input.
  std::shared_ptr<OutputEntry> entry(const at::Tensor& input);

  /// Runs an open branch.
  at::Tensor run_open(
      int64_t index, const at::Tensor& input, OutputEntry& entry) const;

  /// Runs an open branch on an input that is read again. Throws where it
  /// changed it in place.
  at::Tensor run_kept(
      int64_t index, const at::Tensor& input, OutputEntry& entry) const;

  /// Runs a branch on some of the samples. Throws where it does not return one
  /// row for each.
  at::Tensor run_samples(
      int64_t index, const at::Tensor& input, OutputEntry& entry) const;

  /// Runs a closed branch without a trace; its output has no graph.
  at::Tensor run_closed(
      int64_t index,
      const at::Tensor& input,
      OutputEntry& entry,
      bool track_statistics) const;

  /// What a closed branch would return. `open_sibling`: an open branch of the
  /// same forward, or -1.
  const OutputSpec& closed(
      int64_t index,
      OutputEntry& entry,
      int64_t batch,
      int64_t open_sibling) const;

  /// A branch whose output's shape is known, else one for which it is declared,
  /// else the first.
  int64_t best_known(OutputEntry& entry, int64_t batch) const;

  void clear_memory() noexcept { memory_.clear(); }

  /// Deep copies; branches that share a module go on sharing its copy.
  std::shared_ptr<BranchList> clone(
      const std::optional<at::Device>& device) const;

 private:
  int64_t first_with_module_of(int64_t index) const;
  std::vector<std::shared_ptr<torch::nn::Module>> gone() const;
  const OutputShape& shape_of(int64_t index) const;
  ClosedBranch closed_branch(int64_t index) const;
  uint64_t state_of(int64_t index) const {
    return memory_.state(index, *(*this)[index].branch.ptr());
  }
  const OutputSpec* find_known(
      int64_t index, OutputEntry& entry, int64_t batch) const;
  FlatOutput probe(
      int64_t index,
      const OutputEntry& entry,
      int64_t batch,
      int64_t samples) const;
  bool still_returns_known(
      int64_t index, OutputEntry& entry, int64_t batch) const;
  at::Tensor run(
      int64_t index, const at::Tensor& input, const OutputEntry& entry) const;
  // `has_rows`: its first dim is known to follow the batch, which siblings that
  // run on other numbers of samples are compared by.
  void remember(
      int64_t index,
      const at::Tensor& output,
      OutputEntry& entry,
      int64_t batch,
      bool has_rows = false) const;
  void check_fits(
      int64_t index,
      const OutputSpec& spec,
      OutputEntry& entry,
      int64_t batch) const;
  void check_fits_sibling(
      int64_t index,
      const OutputSpec& spec,
      int64_t other,
      const OutputSpec& sibling,
      int64_t batch) const;
  bool has_concat_dim(const TensorSpec& spec) const;
  bool fit(const TensorSpec& a, const TensorSpec& b, int64_t batch) const;

  std::string gate_kind_;
  std::vector<NamedBranch<>> branches_;
  std::vector<int64_t> places_;  // of those that are not gone
  OutputShape default_shape_;
  std::optional<int64_t> concat_dim_;
  mutable OutputMemory memory_;  // saves work, and decides nothing
};

}  // namespace gatedpaths::detail
