// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/branched_module.hpp>

#include <gatedpaths/branches/detail/input_memory.hpp>
#include <gatedpaths/branches/detail/input_watch.hpp>
#include <gatedpaths/branches/detail/sample_gates.hpp>
#include <gatedpaths/slots/slot_consumer.hpp>

#include "../branches/branch_list.hpp"
#include "../branches/detach_alone.hpp"
#include "../branches/shared_input.hpp"
#include "closed_options.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <ostream>
#include <string>
#include <utility>

namespace gatedpaths {

BranchedModule::BranchedModule(
    Settings settings, std::vector<NamedBranch<>> branches)
    : closed_value_(settings.closed_value),
      track_statistics_(settings.track_statistics) {
  detail::check_closed_options(
      settings.gate_kind, settings.skip, closed_value_, track_statistics_);
  branches_ = std::make_shared<detail::BranchList>(
      settings.gate_kind,
      std::move(branches),
      std::move(settings.output_shape),
      settings.concat_dim);
  init_gates(
      settings.gate_kind,
      branches_->names(),
      settings.min_open,
      settings.max_open);
  init_sample_gates(
      settings.gate_kind, /*open_dims=*/2, settings.skip, settings.capacity);
  register_branches();
}

void BranchedModule::register_branches() {
  for (int64_t i = 0; i < branches_->num_kept(); ++i) {
    if (branches_->is_first_with_module(i)) {
      const auto& branch = branches_->kept(i);
      register_module(branch.name, branch.branch.ptr());
    }
  }
}

const torch::nn::Module& BranchedModule::branch_module(int64_t index) const {
  check_branch_index("branch_module", index);
  return *branches_->kept(index).branch.ptr();
}

std::string_view BranchedModule::gate_kind() const noexcept {
  return branches_->gate_kind();
}

void BranchedModule::to(
    torch::Device device, torch::Dtype dtype, bool non_blocking) {
  branches_->clear_memory();
  branches_->move_gone(device, dtype, non_blocking);
  Module::to(device, dtype, non_blocking);
}

void BranchedModule::to(torch::Dtype dtype, bool non_blocking) {
  branches_->clear_memory();
  branches_->move_gone(dtype, non_blocking);
  Module::to(dtype, non_blocking);
}

void BranchedModule::to(torch::Device device, bool non_blocking) {
  branches_->clear_memory();
  branches_->move_gone(device, non_blocking);
  Module::to(device, non_blocking);
}

void BranchedModule::forget_outputs() noexcept { branches_->clear_memory(); }

const AnyBranch& BranchedModule::any_branch(int64_t index) const {
  check_branch_index("branch", index);
  return branches_->kept(index).branch;
}

detail::BranchOutputs BranchedModule::run_branches(
    const torch::Tensor& input, const torch::Tensor& open_samples) {
  if (open_samples.defined()) {
    return run_samples(input, open_samples);
  }
  detail::BranchOutputs outputs;
  outputs.entry = branches_->entry(input);
  outputs.batch = input.dim() == 0 ? -1 : input.size(0);
  begin_forward(is_training());  // an input that is refused costs no draw
  const auto hold = [&](int64_t index, torch::Tensor value) {
    outputs.positions.push_back(index);
    outputs.values.push_back(std::move(value));
  };
  const auto open = open_branches();
  const bool closed_run = skip() == Skip::kNoGrad;
  detail::SharedInput shared(
      *branches_,
      input,
      (closed_run ? num_branches() : static_cast<int64_t>(open.size())) > 1);
  const auto run_open = [&](int64_t index) {
    // At once: a later branch may be the last, which may work in place.
    hold(
        index,
        detail::apart_from(
            input, shared.run_open(branches_->place(index), *outputs.entry)));
  };
  if (!closed_run) {
    for (const int64_t index : open) {
      run_open(index);
    }
    return outputs;
  }
  const auto* next_open = open.begin();
  for (int64_t index = 0; index < num_branches(); ++index) {
    if (next_open != open.end() && *next_open == index) {
      ++next_open;
      run_open(index);
      continue;
    }
    auto value = shared.run_closed(
        branches_->place(index), *outputs.entry, track_statistics_);
    if (closed_value_ == ClosedValue::kDetached) {
      hold(index, detail::detach_alone(std::move(value)));
    }
  }
  return outputs;
}

detail::BranchOutputs BranchedModule::run_samples(
    const torch::Tensor& input, const torch::Tensor& open) {
  detail::BranchOutputs outputs;
  outputs.entry = branches_->entry(input);
  outputs.gates = begin_forward_samples(input, open, is_training());
  const auto& gates = *outputs.gates;
  outputs.batch = gates.batch;
  const auto inputs = detail::take_rows(input, gates.rows, gates.disjoint);
  for (size_t i = 0; i < gates.ran.size(); ++i) {
    const int64_t index = gates.ran[i];
    const bool has_all = !gates.rows[i].defined();
    // One with all samples has the input itself: what becomes of that must not
    // depend on how many samples another has.
    detail::InputWatch watch;
    const auto own = has_all ? watch.watch(input) : inputs[i];
    const int64_t place = branches_->place(index);
    auto value = gates.is_partial()
                     ? branches_->run_samples(place, own, *outputs.entry)
                     : branches_->run_open(place, own, *outputs.entry);
    watch.check_open(branches_->label(place));
    outputs.positions.push_back(index);
    outputs.values.push_back(
        has_all ? detail::apart_from(input, value) : std::move(value));
  }
  return outputs;
}

void BranchedModule::copy_parts(const std::optional<torch::Device>& device) {
  branches_ = branches_->clone(device);
  for (int64_t i = 0; i < branches_->num_kept(); ++i) {
    if (branches_->is_first_with_module(i)) {
      const auto& branch = branches_->kept(i);
      replace_module(branch.name, branch.branch.ptr());
    }
  }
}

void BranchedModule::check_kept(c10::IntArrayRef kept) const {
  SampleGatedModule::check_kept(kept);
  const auto count = static_cast<int64_t>(kept.size());
  TORCH_CHECK_VALUE(
      count == num_branches() || skip() != Skip::kNoGrad ||
          closed_value_ != ClosedValue::kDetached,
      gate_kind(),
      "::keep_only: expected a gate whose closed branches have no part in its "
      "result, got closed_value=kDetached, and ",
      num_branches() - count,
      " of ",
      num_branches(),
      " branches to drop");
}

void BranchedModule::drop_branches(c10::IntArrayRef kept) {
  for (int64_t i = 0; i < branches_->num_kept(); ++i) {
    if (branches_->is_first_with_module(i)) {
      unregister_module(branches_->kept(i).name);
    }
  }
  // What else is registered stands behind the branches, as before.
  const auto others = named_children();
  for (const auto& other : others) {
    unregister_module(other.key());
  }
  branches_ = branches_->narrowed(kept);
  register_branches();
  for (const auto& other : others) {
    register_module(other.key(), other.value());
  }
}

bool BranchedModule::feeds(const SlotConsumer& layer) const {
  return layer.took_from(branches_);
}

std::string BranchedModule::open_text() const {
  std::string text;
  for (const int64_t index : open_branches()) {
    text += text.empty() ? "" : ", ";
    text += branch_names()[static_cast<size_t>(index)];
  }
  return text;
}

void BranchedModule::print_gates(std::ostream& stream) const {
  stream << fmt::format(
      "skip={}, min_open={}, max_open={}, open=[{}]",
      to_string(skip()),
      min_open(),
      max_open(),
      open_text());
  print_capacity(stream);
}

}  // namespace gatedpaths
