// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/branch_label.hpp>
#include <gatedpaths/branches/detail/closed_spec.hpp>
#include <gatedpaths/branches/detail/input_signature.hpp>
#include <gatedpaths/branches/detail/input_watch.hpp>
#include <gatedpaths/branches/detail/no_trace.hpp>
#include <gatedpaths/branches/detail/output_memory.hpp>
#include <gatedpaths/branches/detail/sample_gates.hpp>
#include <gatedpaths/export.hpp>
#include <gatedpaths/gates/closed_branch_options.hpp>
#include <gatedpaths/gates/sample_gated_module.hpp>

#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>
#include <torch/nn/module.h>

#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string_view>
#include <utility>
#include <vector>

namespace gatedpaths {

/// Options of `GatedBranch`: those of every closed branch, and which arguments
/// hold samples.
///
/// Example: `GatedBranchOptions().skip(Skip::kNoGrad)`.
class GatedBranchOptions : public ClosedBranchOptions<GatedBranchOptions> {
 public:
  /// The arguments of the child whose tensors have a row for each sample, by
  /// place: 0 is the first. With gates for each sample the child gets its
  /// samples of these and all of the others: a weight, a table, a state.
  /// Default: not said, which does for calls with one tensor.
  ///
  /// Example: `sample_arguments({0, 1})` for `forward(x, mask, weight)`.
  GatedBranchOptions& sample_arguments(std::vector<int64_t> places) {
    sample_arguments_ = std::move(places);
    return *this;
  }
  /// \overload
  const std::optional<std::vector<int64_t>>& sample_arguments() const noexcept {
    return sample_arguments_;
  }

 private:
  std::optional<std::vector<int64_t>> sample_arguments_;
};

namespace detail {

/// A tensor among the arguments of a child, and the place of its argument.
struct ArgumentTensor {
  int64_t place = 0;
  at::Tensor tensor;
};

}  // namespace detail

/// All of `GatedBranchImpl` that does not depend on the type of the child.
class GATEDPATHS_EXPORT GatedBranchBase : public torch::nn::Module,
                                          public SampleGatedModule {
 public:
  /// The options that it was made with; a later change has no effect.
  GatedBranchOptions options;

  using GatedModule::is_open;
  using GatedModule::set_open;

  /// Opens or closes the branch. A number does not compile: elsewhere 0 names
  /// the first branch (`set_open({0})`), here it would close it.
  void set_open(bool open);
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  void set_open(T) = delete;

  /// Whether the branch is open.
  bool is_open() const noexcept { return !open_branches().empty(); }

  using SampleGatedModule::ran_samples;

  /// The samples that the branch ran on, as for an index.
  c10::IntArrayRef ran_samples() const { return ran_samples(0); }

  const torch::nn::Module& branch_module(int64_t index) const override;
  std::string_view gate_kind() const noexcept override;
  void check_kept(c10::IntArrayRef kept) const override;

  /// Prints `gatedpaths::GatedBranch(skip=kZeroFill, open=true)`.
  void pretty_print(std::ostream& stream) const override;

  /// Moves as any module does, and forgets what the child returned before.
  void to(torch::Device device, torch::Dtype dtype, bool non_blocking = false)
      override;
  /// \overload
  void to(torch::Dtype dtype, bool non_blocking = false) override;
  /// \overload
  void to(torch::Device device, bool non_blocking = false) override;

  /// Forgets what the child returned before, so that its shape is found out
  /// anew (see `OutputShape`). For a child whose shape something else decides
  /// than its arguments, mode and weights, and that is no `ShapeState`.
  void forget_outputs() noexcept { memory_.clear(); }

 protected:
  /// Registers the child as "branch".
  ///
  /// Throws: `c10::ValueError` for a null pointer, or options that contradict
  /// each other.
  GatedBranchBase(
      std::shared_ptr<torch::nn::Module> module,
      GatedBranchOptions branch_options);

  /// Which samples the child runs on; see `begin_forward_samples`, which says
  /// what `c10::ValueError` is thrown for.
  std::shared_ptr<const detail::SampleGates> begin_samples(
      const torch::Tensor& open, const detail::InputSignature& signature);

  /// As `begin_samples` where the child runs on all; see
  /// `begin_forward_all_samples`.
  std::shared_ptr<const detail::SampleGates> begin_all_samples(
      const torch::Tensor& open,
      const detail::InputSignature& signature,
      torch::Tensor& kept);

  /// Throws where it was not said, or wrongly, which of several tensors have a
  /// row for each sample.
  void check_sample_arguments(
      c10::ArrayRef<detail::ArgumentTensor> tensors, int64_t batch) const;

  /// Whether `value`, of the argument at `place`, has a row for each sample.
  bool has_samples(
      int64_t place, const torch::Tensor& value, int64_t batch) const;

  /// The entry for such an input; null where no argument has a tensor.
  std::shared_ptr<detail::OutputEntry> entry(
      const detail::InputSignature& signature);

  /// Throws where the child cannot take an input for what it is.
  void check_input(const torch::Tensor& input) const;

  /// Throws where the open child changed an argument in place that is read
  /// again.
  void check_open(const detail::InputWatch& watch) const;

  /// Throws where the closed child changed an argument in place, or something
  /// that cannot be put back.
  void check_closed(
      const detail::InputWatch& watch, const detail::NoTrace& no_trace) const;

  /// Makes what the closed child returned into what stands for it.
  void close(detail::FlatOutput& output) const;

  /// Whether the child is already known to return tensors like these.
  bool is_known(
      c10::ArrayRef<torch::Tensor> output,
      c10::IntArrayRef structure,
      detail::OutputEntry& entry,
      int64_t batch);

  /// Remembers the child's output.
  void remember(
      const detail::FlatOutput& output,
      detail::OutputEntry& entry,
      int64_t batch);

  /// Zeros in place of the child's output.
  detail::FlatOutput zeros(
      detail::OutputEntry* entry, int64_t batch, detail::Probe probe);

  /// Gives the child's output on some samples the rows of the others: zeros.
  /// Throws where it does not have one row for each sample that ran.
  detail::FlatOutput put_back(
      detail::FlatOutput output,
      detail::OutputEntry& entry,
      const detail::SampleGates& gates);

  /// Finds out how the sizes of an output of several tensors follow the batch:
  /// that one of them equals the number of samples may be a coincidence.
  void learn_sizes(
      detail::OutputEntry& entry, int64_t samples, detail::Probe probe);

  void drop_branches(c10::IntArrayRef kept) override;

  /// Replaces the module of a fresh copy by a deep copy, which it returns.
  std::shared_ptr<torch::nn::Module> clone_branch(
      const std::optional<torch::Device>& device);

 private:
  detail::BranchLabel label() const;
  detail::ClosedBranch closed_branch();
  const detail::OutputSpec& find_out(
      detail::OutputEntry& entry, int64_t batch, detail::Probe probe);
  void learn_numbers(
      detail::OutputEntry& entry,
      detail::KnownOutput& known,
      uint64_t state,
      int64_t batch);
  bool is_sample_argument(int64_t place) const;
  void move_gone(const std::function<void(torch::nn::Module&)>& move);

  std::shared_ptr<torch::nn::Module> module_;
  detail::OutputMemory memory_;
};

}  // namespace gatedpaths
