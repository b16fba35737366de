// SPDX-License-Identifier: MIT
#include <gatedpaths/modules/gated_branch.hpp>

#include "../detail/closed_options.hpp"

#include <c10/util/Exception.h>

#include <ostream>
#include <utility>

namespace gatedpaths {
namespace {

constexpr const char* kBranchName = "branch";

}  // namespace

GatedBranchBase::GatedBranchBase(
    std::shared_ptr<torch::nn::Module> module,
    const GatedBranchOptions& branch_options)
    : options(branch_options), module_(std::move(module)), memory_(1) {
  TORCH_CHECK_VALUE(
      module_, "GatedBranch: expected a module, got an empty holder");
  detail::check_closed_options(
      gate_kind(),
      options.skip(),
      options.closed_value(),
      options.track_statistics());
  init_gates(gate_kind(), {kBranchName}, /*min_open=*/0, /*max_open=*/1);
  register_module(kBranchName, module_);
}

void GatedBranchBase::set_open(bool open) {
  if (open) {
    GatedModule::set_open({0});
  } else {
    GatedModule::set_open({});
  }
}

const torch::nn::Module& GatedBranchBase::branch_module(int64_t index) const {
  check_branch_index("branch_module", index);
  return *module_;
}

std::string_view GatedBranchBase::gate_kind() const noexcept {
  return "GatedBranch";
}

void GatedBranchBase::pretty_print(std::ostream& stream) const {
  stream << "gatedpaths::GatedBranch(skip=" << options.skip()
         << ", open=" << (is_open() ? "true" : "false") << ")";
}

void GatedBranchBase::to(
    torch::Device device, torch::Dtype dtype, bool non_blocking) {
  memory_.clear();
  Module::to(device, dtype, non_blocking);
}

void GatedBranchBase::to(torch::Dtype dtype, bool non_blocking) {
  memory_.clear();
  Module::to(dtype, non_blocking);
}

void GatedBranchBase::to(torch::Device device, bool non_blocking) {
  memory_.clear();
  Module::to(device, non_blocking);
}

std::shared_ptr<detail::OutputEntry> GatedBranchBase::entry(
    const detail::InputSignature& signature) {
  return signature.first_tensor() == nullptr ? nullptr
                                             : memory_.entry(signature);
}

void GatedBranchBase::check_input(const torch::Tensor& input) const {
  detail::check_device(gate_kind(), 0, kBranchName, *module_, input.device());
}

void GatedBranchBase::check_input_kept(int64_t before, int64_t after) const {
  detail::check_input_kept(gate_kind(), 0, kBranchName, before, after);
}

void GatedBranchBase::remember(
    const detail::FlatOutput& output,
    detail::OutputEntry& entry,
    int64_t batch) const {
  auto spec = detail::spec_of_returned(output, batch);
  detail::check_declared(closed_branch(), entry.input, spec, batch);
  detail::update_known(entry.specs.front(), std::move(spec), batch);
}

detail::FlatOutput GatedBranchBase::zeros(
    detail::OutputEntry* entry, int64_t batch, detail::Probe probe) {
  TORCH_CHECK_VALUE(
      entry != nullptr,
      "GatedBranch::forward: expected a tensor among the arguments of a closed "
      "branch, got none; use Skip::kNoGrad");
  const auto& known = entry->specs.front();
  if (!known || !known->holds_for(batch)) {
    detail::check_device(
        gate_kind(), 0, kBranchName, *module_, entry->input.device);
  }
  const auto& spec = detail::closed_spec(closed_branch(), *entry, batch, probe);
  detail::FlatOutput flat;
  for (const auto& tensor : spec.tensors) {
    flat.tensors.push_back(tensor.zeros(batch));
  }
  flat.structure.assign(spec.structure.begin(), spec.structure.end());
  return flat;
}

std::shared_ptr<torch::nn::Module> GatedBranchBase::clone_branch(
    const std::optional<torch::Device>& device) {
  module_ = detail::clone_module(*module_, device);
  memory_.clear();
  return replace_module(kBranchName, module_);
}

detail::ClosedBranch GatedBranchBase::closed_branch() const {
  return {
      .gate_kind = gate_kind(),
      .index = 0,
      .name = kBranchName,
      .module = *module_,
      .shape = options.output_shape()};
}

}  // namespace gatedpaths
