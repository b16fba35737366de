// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/gated_branch.hpp>

#include <gatedpaths/branches/detail/branch_checks.hpp>
#include <gatedpaths/branches/detail/clone_module.hpp>

#include "../branches/detach_alone.hpp"
#include "../branches/hollow.hpp"
#include "closed_options.hpp"

#include <ATen/ops/zeros_like.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <functional>
#include <optional>
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
    GatedBranchOptions branch_options)
    : options(std::move(branch_options)),
      module_(std::move(module)),
      memory_(1) {
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
  move_gone(
      [&](torch::nn::Module& gone) { gone.to(device, dtype, non_blocking); });
  Module::to(device, dtype, non_blocking);
}

void GatedBranchBase::to(torch::Dtype dtype, bool non_blocking) {
  move_gone([&](torch::nn::Module& gone) { gone.to(dtype, non_blocking); });
  Module::to(dtype, non_blocking);
}

void GatedBranchBase::to(torch::Device device, bool non_blocking) {
  move_gone([&](torch::nn::Module& gone) { gone.to(device, non_blocking); });
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

void GatedBranchBase::check_open(const detail::InputWatch& watch) const {
  watch.check_open(label());
}

void GatedBranchBase::check_closed(
    const detail::InputWatch& watch, const detail::NoTrace& no_trace) const {
  watch.check_closed(label());
  no_trace.check(label());
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

bool GatedBranchBase::is_known(
    c10::ArrayRef<torch::Tensor> output,
    c10::IntArrayRef structure,
    detail::OutputEntry& entry,
    int64_t batch) {
  auto* known = entry.find(0, memory_.state(0, *module_));
  const auto* spec = known == nullptr ? nullptr : known->find(batch);
  return spec != nullptr && detail::describes(*spec, output, batch) &&
         structure == spec->structure;
}

void GatedBranchBase::remember(
    const detail::FlatOutput& output,
    detail::OutputEntry& entry,
    int64_t batch) {
  if (is_known(output.tensors, output.structure, entry, batch)) {
    return;
  }
  const uint64_t state = memory_.state(0, *module_);
  auto spec = detail::spec_of(output, detail::OutputSpec::Source::kReturned);
  detail::check_declared(closed_branch(), entry.input, spec, batch);
  if (entry.at(0, state).contradicts(spec, batch)) {
    memory_.forget_all_before(entry);
  }
  auto& known = entry.at(0, state);
  known.add(std::move(spec), batch);
  if (entry.numbers) {
    learn_numbers(entry, known, state, batch);
  }
}

detail::FlatOutput GatedBranchBase::zeros(
    detail::OutputEntry* entry, int64_t batch, detail::Probe probe) {
  TORCH_CHECK_VALUE(
      entry != nullptr,
      "GatedBranch::forward: expected a tensor among the arguments of a closed "
      "branch, got none; use Skip::kNoGrad");
  const auto& spec = find_out(*entry, batch, probe);
  detail::FlatOutput flat;
  for (const auto& tensor : spec.tensors) {
    flat.tensors.push_back(tensor.zeros(batch));
  }
  flat.structure.assign(spec.structure.begin(), spec.structure.end());
  return flat;
}

detail::FlatOutput GatedBranchBase::put_back(
    detail::FlatOutput output,
    detail::OutputEntry& entry,
    const detail::SampleGates& gates) {
  const auto* known = entry.find(0, memory_.state(0, *module_));
  const auto* rule = known == nullptr ? nullptr : known->rule();
  const auto samples = gates.rows.front().size(0);
  for (size_t t = 0; t < output.tensors.size(); ++t) {
    auto& tensor = output.tensors[t];
    if (!tensor.defined()) {
      continue;  // as attention weights that are not asked for
    }
    detail::check_rows(label(), tensor, samples);
    TORCH_CHECK_VALUE(
        rule == nullptr || rule->tensors[t].sizes.front().per_sample == 1,
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
    detail::OutputEntry& entry, int64_t samples, detail::Probe probe) {
  find_out(entry, samples, probe);
}

const detail::OutputSpec& GatedBranchBase::find_out(
    detail::OutputEntry& entry, int64_t batch, detail::Probe probe) {
  auto branch = closed_branch();
  if (auto* known = entry.find(0, branch.state)) {
    if (const auto* spec = known->find(batch)) {
      return *spec;
    }
  }
  const bool is_new = entry.is_new_to(0);
  std::optional<detail::OutputSpec> expected;
  std::optional<detail::OutputSpec> expected_here;
  if (entry.numbers && !branch.shape.has_sizes()) {
    const auto numbers = entry.signature.numbers();
    const auto trusts = [&](detail::ArgumentRule& rule, auto& expects) {
      expects = rule.expect(numbers);
      if (!expects || !rule.is_trusted()) {
        return false;
      }
      rule.count_trusted();
      entry.trusted = std::move(expects);
      return true;
    };
    // One sample may be an exception from how an output follows the batch.
    auto& rule = entry.numbers->of(branch.state);
    if (batch == 1) {
      expected = rule.expect(numbers);
    }
    if ((batch != 1 && trusts(rule, expected)) ||
        trusts(entry.numbers->of(branch.state, batch), expected_here)) {
      return *entry.trusted;
    }
    branch.expected = expected ? &*expected : nullptr;
    branch.expected_here = expected_here ? &*expected_here : nullptr;
  }
  if (is_new) {
    detail::check_device(label(), *module_, entry.input.device);
  }
  const auto& spec = detail::closed_spec(branch, entry, batch, probe);
  if (entry.numbers && !branch.shape.has_sizes()) {
    learn_numbers(entry, entry.at(0, branch.state), branch.state, batch);
  }
  return spec;
}

// A number that may never come again is only kept as long as the rules for it
// are not trusted.
void GatedBranchBase::learn_numbers(
    detail::OutputEntry& entry,
    detail::KnownOutput& known,
    uint64_t state,
    int64_t batch) {
  const auto numbers = entry.signature.numbers();
  auto& rule = entry.numbers->of(state);
  auto& rule_here = entry.numbers->of(state, batch);
  const auto& output = *known.find(batch);
  if (known.rule() != nullptr) {
    rule.see(numbers, *known.rule());
  } else if (const auto expected = rule.expect(numbers);
             expected && batch != 1) {
    if (expected->same_kind(output) && expected->same_sizes(output, batch)) {
      rule.see(numbers, *expected);
    } else {
      rule.contradict();
    }
  }
  rule_here.see(numbers, output.fixed_at(batch));
  if (!rule.is_trusted() && !rule_here.is_trusted()) {
    memory_.keep_last();
  }
}

void GatedBranchBase::check_kept(c10::IntArrayRef kept) const {
  SampleGatedModule::check_kept(kept);
  TORCH_CHECK_VALUE(
      static_cast<int64_t>(kept.size()) == num_branches() ||
          options.skip() != Skip::kNoGrad ||
          options.closed_value() != ClosedValue::kDetached,
      "GatedBranch::keep_only: expected a gate whose closed branch has no part "
      "in its result, got closed_value=kDetached, and the branch to drop");
}

// What is dropped is the only branch; it is still asked for its shape.
void GatedBranchBase::drop_branches(c10::IntArrayRef /*kept*/) {
  unregister_module(kBranchName);
  options.skip(Skip::kZeroFill);
  memory_.clear();
}

std::shared_ptr<torch::nn::Module> GatedBranchBase::clone_branch(
    const std::optional<torch::Device>& device) {
  const auto original = module_;
  module_ = detail::clone_module(*module_, device);
  memory_.clear();
  if (num_branches() == 0) {
    detail::HollowTensors(*original).make_hollow_too(*module_);
    return module_;
  }
  return replace_module(kBranchName, module_);
}

void GatedBranchBase::move_gone(
    const std::function<void(torch::nn::Module&)>& move) {
  memory_.clear();
  if (num_branches() == 0) {
    const detail::HollowTensors hollow(*module_);
    move(*module_);
  }
}

detail::BranchLabel GatedBranchBase::label() const {
  return {gate_kind(), 0, kBranchName};
}

detail::ClosedBranch GatedBranchBase::closed_branch() {
  return {
      .label = label(),
      .module = *module_,
      .shape = options.output_shape(),
      .state = memory_.state(0, *module_)};
}

}  // namespace gatedpaths
