// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/gates/gated_module.hpp>
#include <gatedpaths/gates/sample_capacity.hpp>
#include <gatedpaths/gates/skip.hpp>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <ostream>
#include <string_view>

namespace gatedpaths {
namespace detail {
struct SampleGates;
}  // namespace detail

/// What `GatedBranch`, `ChoiceBlock` and `ConcatGate` share: forwards with
/// gates for each sample, `forward(input, open)`.
///
/// `open` is a bool tensor, `[batch]` for a `GatedBranch` and
/// `[batch, branches]` for the others. For this one forward it stands in place
/// of the module's own gates, whatever these are, in training and in eval:
/// nothing is drawn, and `open_branches()` stays as it was. Each row keeps to
/// `min_open()` and `max_open()`.
///
/// Each branch runs once, on its own samples only: they are gathered, the
/// branch runs on this smaller batch, and its rows are put back in place, with
/// zeros in the others (in slot form there are no others). So what a branch
/// computes over a batch sees the samples that ran and no others: batch norm
/// normalises over them, and in training with a single sample of 1x1 it throws
/// as it does for such a batch. A branch without a sample is closed: it is not
/// called, and its gradients stay undefined. A branch with all samples is open:
/// it gets the input itself, which it must not change in place (see
/// `GatedModule`), and all is bit for bit as without `open`.
///
/// Only under `Skip::kZeroFill`, since closed samples do not run.
///
/// `open` may lie on any device. The lists of samples are made on the host: an
/// `open` on the CPU costs no synchronisation with a GPU, one on a GPU is
/// copied to the host in each forward, which waits for the GPU.
class GATEDPATHS_EXPORT SampleGatedModule : public GatedModule {
 public:
  /// The samples that branch `index` ran on in the last forward, ascending,
  /// where that had gates for each sample. Valid until the next forward.
  ///
  /// Throws: `c10::IndexError` where there is no such branch; `c10::Error`
  /// where the last forward had no gates for each sample.
  c10::IntArrayRef ran_samples(int64_t index) const;

  /// How closed branches are skipped.
  Skip skip() const noexcept { return skip_; }

  /// Where the draws of `Overflow::kDrop` stand; empty without them. The step
  /// counts the training forwards that had gates for each sample.
  const std::optional<DrawState>& capacity_state() const noexcept {
    return capacity_state_;
  }

  /// Goes on drawing from a saved state (see `capacity_state`).
  ///
  /// Throws: `c10::Error` where the module drops no samples.
  void set_capacity_state(const DrawState& state);

  /// Visits its own draws, and those of the capacity as of the kind "capacity".
  void visit_draws(const DrawVisitor& visit) override;

 protected:
  SampleGatedModule() = default;
  SampleGatedModule(const SampleGatedModule&) = default;
  SampleGatedModule(SampleGatedModule&&) = default;
  SampleGatedModule& operator=(const SampleGatedModule&) = default;
  SampleGatedModule& operator=(SampleGatedModule&&) = default;

  /// To be called once, by the deriving constructor. `kind` is the class's name
  /// in messages, `open_dims` how many dims `open` has: 1 or 2.
  ///
  /// Throws: `c10::ValueError` for a capacity below 1, or with another skip
  /// than `kZeroFill`.
  void init_sample_gates(
      std::string_view kind,
      int64_t open_dims,
      Skip skip,
      const SampleCapacity& capacity);

  /// To be called at the start of each forward with the module's own gates.
  void begin_forward(bool training) {
    sample_gates_.reset();
    GatedModule::begin_forward(training);
  }
  /// \overload
  void begin_forward_of(c10::IntArrayRef branches) {
    sample_gates_.reset();
    GatedModule::begin_forward_of(branches);
  }

  /// To be called at the start of each forward with gates for each sample:
  /// which samples of `input` each branch runs on.
  ///
  /// Throws: `c10::ValueError` where `open` is not a bool tensor of the right
  /// sizes, a row does not keep to the bounds, more samples come than the
  /// capacity allows, the input has no batch, or the skip is not `kZeroFill`.
  std::shared_ptr<const detail::SampleGates> begin_forward_samples(
      const at::Tensor& input, const at::Tensor& open, bool training);

  /// As `begin_forward_samples` for a module with one branch, which runs on all
  /// samples whichever are open. `open` less what the capacity drops is `kept`:
  /// `open` itself where that is nothing.
  ///
  /// Throws: as `begin_forward_samples` does.
  std::shared_ptr<const detail::SampleGates> begin_forward_all_samples(
      const at::Tensor& input,
      const at::Tensor& open,
      bool training,
      at::Tensor& kept);

  /// Keeps which samples ran, too.
  std::unique_ptr<detail::KeptState> keep() override;

  /// Writes `, capacity=8, overflow=kDrop`, or nothing without a capacity.
  void print_capacity(std::ostream& stream) const;

 private:
  struct KeptSamples;

  void check_open(const at::Tensor& input, const at::Tensor& open) const;
  bool apply_capacity(detail::SampleGates& gates, bool training);

  int64_t open_dims_ = 1;
  Skip skip_ = Skip::kZeroFill;
  SampleCapacity capacity_;
  std::optional<DrawState> capacity_state_;
  std::shared_ptr<const detail::SampleGates> sample_gates_;  // last forward's
};

}  // namespace gatedpaths
