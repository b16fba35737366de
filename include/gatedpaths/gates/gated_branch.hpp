// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/branch_watch.hpp>
#include <gatedpaths/branches/detail/child.hpp>
#include <gatedpaths/branches/detail/deep_copy.hpp>
#include <gatedpaths/branches/detail/forward_signature.hpp>
#include <gatedpaths/branches/detail/input_memory.hpp>
#include <gatedpaths/branches/detail/input_signature.hpp>
#include <gatedpaths/branches/detail/input_watch.hpp>
#include <gatedpaths/branches/detail/map_tensors.hpp>
#include <gatedpaths/branches/detail/no_trace.hpp>
#include <gatedpaths/branches/detail/output_memory.hpp>
#include <gatedpaths/branches/detail/output_structure.hpp>
#include <gatedpaths/branches/detail/sample_gates.hpp>
#include <gatedpaths/gates/gated_branch_base.hpp>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

namespace gatedpaths {

/// The module behind `GatedBranch`, which see.
template <class Child>
class GatedBranchImpl
    : public detail::WithForward<
          GatedBranchImpl<Child>,
          detail::DeepCopied<GatedBranchImpl<Child>, GatedBranchBase>,
          typename detail::ForwardSignature<detail::ChildImpl<Child>>::Result,
          typename detail::ForwardSignature<detail::ChildImpl<Child>>::Required,
          typename detail::ForwardSignature<
              detail::ChildImpl<Child>>::Optional> {
  using Signature = detail::ForwardSignature<detail::ChildImpl<Child>>;
  using Result = typename Signature::Result;
  using Base = typename GatedBranchImpl::WithForward;
  static_assert(
      detail::OutputType<Result>,
      "the child of a GatedBranch must return a tensor, or tuples, pairs, "
      "vectors and optionals of tensors: only those can be replaced by zeros");

 public:
  /// The child's implementation type.
  using ChildImpl = detail::ChildImpl<Child>;

  /// Registers the child as "branch".
  ///
  /// Throws: `c10::ValueError` for a null pointer, options that contradict each
  /// other, or an `output_shape` for a child that returns more than one tensor.
  GatedBranchImpl(
      std::shared_ptr<ChildImpl> child,
      const GatedBranchOptions& branch_options)
      : Base(child, branch_options), child_(std::move(child)) {
    TORCH_CHECK_VALUE(
        (std::is_same_v<Result, torch::Tensor>) ||
            !(branch_options.output_shape().has_sizes() ||
              branch_options.output_shape().dtype()),
        "GatedBranch: expected no output_shape for a child that returns more "
        "than one tensor, got one; its shapes are found out");
  }

  /// The child: a typed holder where `Child` is one, else a `shared_ptr`.
  detail::ChildHandle<Child> child() const {
    return detail::ChildHandle<Child>(child_);
  }

  /// As `forward(args...)` with a gate for each sample, see
  /// `SampleGatedModule`: `open` is a bool tensor `[batch]`. Each tensor that
  /// the child returns must have one row for each sample that ran; the rows of
  /// the others are zeros.
  ///
  /// The child runs on its samples of the tensors in those arguments that
  /// `GatedBranchOptions::sample_arguments` names, and gets all other tensors
  /// whole: that a tensor's first dim is as large as the batch may be chance,
  /// so nothing is guessed from sizes. A call with one tensor needs no names.
  ///
  /// Which tensors of a result with several follow the batch is found out once
  /// for each kind of input, by a probe as for zeros (see `OutputShape`).
  ///
  /// Throws: `c10::ValueError` where no argument is a tensor, several tensors
  /// come and `sample_arguments` was not set or does not fit them, `open` is
  /// not a bool tensor `[batch]` or opens more samples than the capacity
  /// allows, the skip is not `kZeroFill`, or a result has another number of
  /// rows.
  template <class... A>
    requires detail::ForwardsWith<ChildImpl, A...>
  Result forward_samples(const torch::Tensor& open, A&&... args) {
    const auto signature = detail::InputSignature::of(args...);
    check_sample_tensors(signature.batch(), args...);
    const auto entry = this->entry(signature);
    const auto gates = this->begin_samples(open, signature);
    return run_samples(*gates, *entry, signature, std::forward<A>(args)...);
  }

  /// As `forward_samples(open, args...)`, but that the child runs on all
  /// samples, and what it returns has all their rows: for gates that learn from
  /// what closed samples would have given, as `GateDecision::run`, which see
  /// for the capacity. Also gives `open` less the samples that the capacity
  /// drops.
  ///
  /// Throws: as `forward_samples` does.
  template <class... A>
    requires detail::ForwardsWith<ChildImpl, A...>
  std::pair<Result, torch::Tensor> forward_all_samples(
      const torch::Tensor& open, A&&... args) {
    const auto signature = detail::InputSignature::of(args...);
    check_sample_tensors(signature.batch(), args...);
    const auto entry = this->entry(signature);
    torch::Tensor kept;
    const auto gates = this->begin_all_samples(open, signature, kept);
    return {
        run_samples(*gates, *entry, signature, std::forward<A>(args)...), kept};
  }

 private:
  friend Base;
  friend detail::DeepCopied<GatedBranchImpl, GatedBranchBase>;

  void copy_parts(const std::optional<torch::Device>& device) {
    child_ = std::dynamic_pointer_cast<ChildImpl>(this->clone_branch(device));
  }

  template <class... A>
  Result run(A&&... args) {
    this->begin_forward(this->is_training());
    const auto signature = detail::InputSignature::of(args...);
    const auto entry = this->entry(signature);
    const int64_t batch = signature.batch();
    if (this->is_open()) {
      const auto memory = memory_of(args...);
      return apart_from(
          memory,
          run_child(entry.get(), batch, signature, std::forward<A>(args)...));
    }
    if (this->options.skip() == Skip::kNoGrad) {
      return run_closed(entry.get(), batch, signature, args...);
    }
    return detail::build_output<Result>(
        this->zeros(entry.get(), batch, make_probe(batch, args...)));
  }

  template <class... A>
  static detail::InputMemory memory_of(const A&... args) {
    detail::InputMemory memory;
    const auto add = [&](const torch::Tensor& value) {
      memory.add(value);
      return value;
    };
    const auto add_all = [&](const auto& argument) {
      if constexpr (std::is_same_v<
                        std::decay_t<decltype(argument)>,
                        torch::Tensor>) {
        memory.add(argument);
      } else {
        detail::map_tensors(argument, add);
      }
    };
    (add_all(args), ...);
    return memory;
  }

  static Result apart_from(
      const detail::InputMemory& memory, const Result& output) {
    return detail::map_tensors(output, [&](const torch::Tensor& value) {
      return memory.apart(value);
    });
  }

  template <class... A>
  void check_sample_tensors(int64_t batch, const A&... args) const {
    std::vector<detail::ArgumentTensor> tensors;
    int64_t place = 0;
    const auto note = [&](const torch::Tensor& value) {
      tensors.push_back({place, value});
      return value;
    };
    ((static_cast<void>(detail::map_tensors(args, note)), ++place), ...);
    this->check_sample_arguments(tensors, batch);
  }

  template <class... A>
  Result run_samples(
      const detail::SampleGates& gates,
      detail::OutputEntry& entry,
      const detail::InputSignature& signature,
      A&&... args) {
    const int64_t batch = gates.batch;
    const auto probe = make_probe(batch, args...);
    if (gates.ran.empty()) {
      return detail::build_output<Result>(this->zeros(&entry, batch, probe));
    }
    if (!gates.is_partial()) {
      return run_all(&entry, batch, signature, args...);
    }
    const auto samples = gates.rows.front().size(0);
    if constexpr (!std::is_same_v<Result, torch::Tensor>) {
      this->learn_sizes(entry, samples, probe);
    }
    detail::InputWatch watch;
    const auto take = [&](int64_t place, const torch::Tensor& value) {
      return this->has_samples(place, value, batch)
                 ? detail::take_rows(value, gates.rows, gates.disjoint).front()
                 : watch.watch(value);
    };
    auto flat = detail::flatten_output<Result>(detail::map_arguments(
        [&](auto&&... taken) -> Result {
          return run_child(
              &entry,
              samples,
              signature,
              std::forward<decltype(taken)>(taken)...);
        },
        take,
        args...));
    this->check_open(watch);
    return detail::build_output<Result>(
        this->put_back(std::move(flat), entry, gates));
  }

  // Runs the child on zeros in place of the samples, and on copies of all else,
  // since it may work in place. Refers to its arguments.
  template <class... A>
  auto make_probe(int64_t batch, const A&... args) {
    return [this, batch, &args...](int64_t samples) {
      const auto replace = [&](int64_t place, const torch::Tensor& value) {
        return samples >= 0 && this->has_samples(place, value, batch)
                   ? detail::InputKind::of(value).zeros(samples)
                   : value.clone();
      };
      return detail::flatten_output<Result>(detail::map_arguments(
          [&](auto&&... replaced) -> Result {
            return child_->forward(
                std::forward<decltype(replaced)>(replaced)...);
          },
          replace,
          args...));
    };
  }

  template <class... A>
  Result run_child(
      detail::OutputEntry* entry,
      int64_t batch,
      const detail::InputSignature& signature,
      A&&... args) {
    if (entry != nullptr && entry->is_new_to(0)) {
      this->check_input(*signature.first_tensor());
    }
    Result output = [&]() -> Result {
      const detail::BranchRun running(*child_);
      return child_->forward(std::forward<A>(args)...);
    }();
    if (entry == nullptr) {
      return output;
    }
    if constexpr (std::is_same_v<Result, torch::Tensor>) {
      if (this->is_known(output, {}, *entry, batch)) {
        return output;
      }
    }
    this->remember(detail::flatten_output<Result>(output), *entry, batch);
    return output;
  }

  // With gates for each sample: what becomes of the arguments must not depend
  // on whether all are open.
  template <class... A>
  Result run_all(
      detail::OutputEntry* entry,
      int64_t batch,
      const detail::InputSignature& signature,
      const A&... args) {
    detail::InputWatch watch;
    const auto hand_on = [&](const torch::Tensor& value) {
      return watch.watch(value);
    };
    const Result output = run_child(
        entry, batch, signature, detail::map_tensors(args, hand_on)...);
    this->check_open(watch);
    return apart_from(memory_of(args...), output);
  }

  template <class... A>
  Result run_closed(
      detail::OutputEntry* entry,
      int64_t batch,
      const detail::InputSignature& signature,
      const A&... args) {
    const detail::NoTrace no_trace(*child_, this->options.track_statistics());
    detail::InputWatch watch;
    const auto hand_on = [&](const torch::Tensor& value) {
      return watch.watch(value);
    };
    auto flat = detail::flatten_output<Result>(run_child(
        entry, batch, signature, detail::map_tensors(args, hand_on)...));
    this->check_closed(watch, no_trace);
    this->close(flat);
    return detail::build_output<Result>(flat);
  }

  std::shared_ptr<ChildImpl> child_;
};

/// One branch with one gate, around a module of any type.
///
/// Training and eval: open, it is the child, bit for bit; an output in the
/// memory of an argument is copied (see `GatedModule`). Closed, it gives
/// zeros of the child's output: under `Skip::kZeroFill` the child is not
/// called; under `Skip::kNoGrad` it is called without a graph. Either way its
/// gradients stay undefined, and its buffers and all random streams untouched.
/// Nothing is drawn unless `draw_each_forward` asks for it, and nothing ever in
/// eval. It is open at first.
///
/// `forward(args...)` takes what the child takes, its default arguments
/// included, and returns what the child returns: a tensor, or nested tuples,
/// pairs, vectors and optionals of tensors. The batch is the first dim of the
/// first tensor argument. A child whose `forward` is a template or overloaded
/// (`torch::nn::Sequential`) is called with one tensor. A child with at most
/// two default arguments makes a module that `torch::nn::Sequential` can hold.
///
/// Each sample can have a gate of its own (see `SampleGatedModule`):
/// `forward(x, open)` where the child takes one tensor, has no default
/// arguments and returns a tensor, `forward_samples(open, args...)` for any
/// child. Where the child has a second parameter of its own, `forward(x, y)`
/// passes `y` on to it as anything else.
///
/// Shape: as the child's.
///
/// Throws, when made: `c10::ValueError` for an empty holder or options that
/// contradict each other. In `forward`: `c10::Error` where the branch is closed
/// and its output's shape cannot be known (see `OutputShape`);
/// `c10::ValueError` where the child works in place on an input that is read
/// again (see `GatedModule`); what the child throws.
///
/// Example:
/// ```
/// gatedpaths::GatedBranch branch(
///     torch::nn::LSTM(torch::nn::LSTMOptions(8, 16).batch_first(true)),
///     gatedpaths::GatedBranchOptions().skip(gatedpaths::Skip::kZeroFill));
/// branch->set_open(false);
/// auto [y, state] = branch->forward(x);  // zeros [N, T, 16], zeros of h and c
/// ```
template <class Child>
class GatedBranch : public torch::nn::ModuleHolder<GatedBranchImpl<Child>> {
 public:
  /// The module's type.
  using Impl = GatedBranchImpl<Child>;

  /// An empty holder.
  GatedBranch(std::nullptr_t) : Base(nullptr) {}  // NOLINT

  /// Holds an existing module.
  GatedBranch(std::shared_ptr<Impl> module)  // NOLINT
      : Base(std::move(module)) {}

  /// Wraps `child`: a holder, a `shared_ptr`, or a module by value.
  template <class M>
    requires(
        detail::is_module_like<M> &&
        std::is_same_v<detail::ChildImpl<M>, detail::ChildImpl<Child>>)
  explicit GatedBranch(M&& child, const GatedBranchOptions& options = {})
      : Base(std::make_shared<Impl>(
            detail::child_ptr(std::forward<M>(child)), options)) {}

 private:
  using Base = torch::nn::ModuleHolder<Impl>;
};

template <class M>
  requires detail::is_module_like<M>
GatedBranch(M&&, const GatedBranchOptions& = {})
    -> GatedBranch<std::remove_cvref_t<M>>;

}  // namespace gatedpaths
