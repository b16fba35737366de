// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/gated_branch.hpp>

#include <gatedpaths/branches/detail/branch_checks.hpp>
#include <gatedpaths/branches/detail/clone_module.hpp>

#include "../branches/detach_alone.hpp"
#include "closed_options.hpp"

#include <ATen/ops/zeros_like.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <ostream>
#include <set>
#include <utility>

namespace gatedpaths {
namespace {

constexpr const char* kBranchName = "branch";

void check_argument_places(const std::optional<std::vector<int64_t>>& places) {
  TORCH_CHECK_VALUE(
      !places || (!places->empty() &&
                  *std::min_element(places->begin(), places->end()) >= 0 &&
                  std::set<int64_t>(places->begin(), places->end()).size() ==
                      places->size()),
      "GatedBranch: expected sample_arguments of at least one place, each 0 or "
      "above and named once, got ",
      c10::IntArrayRef(*places));
}

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
  check_argument_places(options.sample_arguments());
  init_gates(gate_kind(), {kBranchName}, /*min_open=*/0, /*max_open=*/1);
  init_sample_gates(
      gate_kind(),
      /*open_dims=*/1,
      options.skip(),
      options.sample_capacity());
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
         << ", open=" << (is_open() ? "true" : "false");
  print_capacity(stream);
  stream << ")";
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

std::shared_ptr<const detail::SampleGates> GatedBranchBase::begin_samples(
    const torch::Tensor& open, const detail::InputSignature& signature) {
  return begin_forward_samples(*signature.first_tensor(), open, is_training());
}

std::shared_ptr<const detail::SampleGates> GatedBranchBase::begin_all_samples(
    const torch::Tensor& open,
    const detail::InputSignature& signature,
    torch::Tensor& kept) {
  return begin_forward_all_samples(
      *signature.first_tensor(), open, is_training(), kept);
}

void GatedBranchBase::check_sample_arguments(
    c10::ArrayRef<detail::ArgumentTensor> tensors, int64_t batch) const {
  TORCH_CHECK_VALUE(
      !tensors.empty(),
      "GatedBranch::forward_samples: expected a tensor among the arguments, "
      "got none");
  const auto& places = options.sample_arguments();
  TORCH_CHECK_VALUE(
      places || tensors.size() == 1,
      "GatedBranch::forward_samples: expected sample_arguments among the "
      "options for a call with ",
      tensors.size(),
      " tensors, of ",
      tensors[0].tensor.sizes(),
      " and ",
      tensors[1].tensor.sizes(),
      tensors.size() > 2 ? ", ..." : "",
      ", got none; sizes do not tell which have a row for each sample");
  if (!places) {
    return;
  }
  TORCH_CHECK_VALUE(
      is_sample_argument(tensors[0].place),
      "GatedBranch::forward_samples: expected argument ",
      tensors[0].place,
      ", the first with a tensor, among sample_arguments, got ",
      c10::IntArrayRef(*places));
  for (const auto& [place, tensor] : tensors) {
    TORCH_CHECK_VALUE(
        !is_sample_argument(place) || batch < 0 ||
            (tensor.dim() > 0 && tensor.size(0) == batch),
        "GatedBranch::forward_samples: expected a row for each of the ",
        batch,
        " samples in argument ",
        place,
        ", which is among sample_arguments, got ",
        tensor.sizes());
  }
}

bool GatedBranchBase::is_sample_argument(int64_t place) const {
  const auto& places = options.sample_arguments();
  return !places ||
         std::find(places->begin(), places->end(), place) != places->end();
}

bool GatedBranchBase::has_samples(
    int64_t place, const torch::Tensor& value, int64_t batch) const {
  return is_sample_argument(place) && value.dim() > 0 && value.size(0) == batch;
}

std::shared_ptr<detail::OutputEntry> GatedBranchBase::entry(
    const detail::InputSignature& signature) {
  return signature.first_tensor() == nullptr ? nullptr
                                             : memory_.entry(signature);
}

void GatedBranchBase::check_input(const torch::Tensor& input) const {
  detail::check_device(label(), *module_, input.device());
}

void GatedBranchBase::check_input_kept(int64_t before, int64_t after) const {
  detail::check_input_kept(label(), before, after);
}

void GatedBranchBase::close(detail::FlatOutput& output) const {
  const bool detach = options.closed_value() == ClosedValue::kDetached;
  for (auto& tensor : output.tensors) {
    if (!tensor.defined()) {
      continue;  // as attention weights that are not asked for
    }
    tensor = detach ? detail::detach_alone(std::move(tensor))
                    : at::zeros_like(tensor);
  }
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
    detail::check_device(label(), *module_, entry->input.device);
  }
  const auto& spec = detail::closed_spec(closed_branch(), *entry, batch, probe);
  detail::FlatOutput flat;
  for (const auto& tensor : spec.tensors) {
    flat.tensors.push_back(tensor.zeros(batch));
  }
  flat.structure.assign(spec.structure.begin(), spec.structure.end());
  return flat;
}

detail::FlatOutput GatedBranchBase::put_back(
    detail::FlatOutput output,
    const detail::OutputEntry& entry,
    const detail::SampleGates& gates) const {
  const auto& known = entry.specs.front();
  const auto samples = gates.rows.front().size(0);
  for (size_t t = 0; t < output.tensors.size(); ++t) {
    auto& tensor = output.tensors[t];
    if (!tensor.defined()) {
      continue;  // as attention weights that are not asked for
    }
    detail::check_rows(label(), tensor, samples);
    TORCH_CHECK_VALUE(
        known->only_batch || known->tensors[t].sizes.front().per_sample == 1,
        gate_kind(),
        "::forward: expected ",
        label().text(),
        " to return tensors with a row for each sample, got one of ",
        tensor.sizes(),
        " whose first dim does not follow the batch");
    tensor = detail::put_rows(tensor, gates.rows, gates.batch, gates.disjoint);
  }
  return output;
}

void GatedBranchBase::learn_sizes(
    detail::OutputEntry& entry, int64_t samples, detail::Probe probe) const {
  detail::closed_spec(closed_branch(), entry, samples, probe);
}

std::shared_ptr<torch::nn::Module> GatedBranchBase::clone_branch(
    const std::optional<torch::Device>& device) {
  module_ = detail::clone_module(*module_, device);
  memory_.clear();
  return replace_module(kBranchName, module_);
}

detail::BranchLabel GatedBranchBase::label() const {
  return {gate_kind(), 0, kBranchName};
}

detail::ClosedBranch GatedBranchBase::closed_branch() const {
  return {
      .label = label(), .module = *module_, .shape = options.output_shape()};
}

}  // namespace gatedpaths
