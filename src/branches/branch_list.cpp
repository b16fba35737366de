// SPDX-License-Identifier: MIT
#include "branch_list.hpp"

#include <gatedpaths/branches/detail/branch_checks.hpp>
#include <gatedpaths/branches/detail/branch_watch.hpp>
#include <gatedpaths/branches/detail/clone_module.hpp>
#include <gatedpaths/branches/detail/input_watch.hpp>
#include <gatedpaths/branches/detail/no_trace.hpp>

#include "branch_reuse.hpp"

#include <c10/core/WrapDimMinimal.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <numeric>
#include <utility>

namespace gatedpaths::detail {
namespace {

std::string_view source_text(OutputSpec::Source source) {
  switch (source) {
    case OutputSpec::Source::kDeclared:
      return "is declared to return";
    case OutputSpec::Source::kProbed:
      return "would return";
    case OutputSpec::Source::kReturned:
      break;
  }
  return "returned";
}

int64_t batch_of(const at::Tensor& input) {
  return input.dim() == 0 ? -1 : input.size(0);
}

}  // namespace

BranchList::BranchList(
    std::string gate_kind,
    std::vector<NamedBranch<>> branches,
    OutputShape default_shape,
    std::optional<int64_t> concat_dim)
    : gate_kind_(std::move(gate_kind)),
      branches_(std::move(branches)),
      places_(branches_.size()),
      default_shape_(std::move(default_shape)),
      concat_dim_(concat_dim),
      memory_(branches_.size()) {
  std::iota(places_.begin(), places_.end(), 0);
  for (int64_t i = 0; i < size(); ++i) {
    TORCH_CHECK_VALUE(
        (*this)[i].branch,
        gate_kind_,
        ": expected a module for ",
        label(i).text(),
        ", got an empty holder");
  }
}

std::vector<std::string> BranchList::names() const {
  std::vector<std::string> names;
  names.reserve(places_.size());
  for (int64_t i = 0; i < num_kept(); ++i) {
    names.push_back(kept(i).name);
  }
  return names;
}

bool BranchList::is_first_with_module(int64_t kept) const {
  const auto& module = this->kept(kept).branch.ptr();
  return std::none_of(
      places_.begin(), places_.begin() + kept, [&](int64_t place) {
        return (*this)[place].branch.ptr() == module;
      });
}

std::shared_ptr<BranchList> BranchList::narrowed(c10::IntArrayRef kept) const {
  auto rest = std::make_shared<BranchList>(
      gate_kind_, branches_, default_shape_, concat_dim_);
  rest->places_.clear();
  for (const int64_t index : kept) {
    rest->places_.push_back(place(index));
  }
  return rest;
}

std::vector<std::shared_ptr<torch::nn::Module>> BranchList::gone() const {
  std::vector<std::shared_ptr<torch::nn::Module>> modules;
  for (int64_t i = 0; i < size(); ++i) {
    const auto& module = (*this)[i].branch.ptr();
    const bool is_kept =
        std::any_of(places_.begin(), places_.end(), [&](int64_t place) {
          return (*this)[place].branch.ptr() == module;
        });
    if (!is_kept && first_with_module_of(i) == i) {
      modules.push_back(module);
    }
  }
  return modules;
}

int64_t BranchList::first_with_module_of(int64_t index) const {
  const auto& module = (*this)[index].branch.ptr();
  return std::find_if(
             branches_.begin(),
             branches_.end(),
             [&](const auto& other) { return other.branch.ptr() == module; }) -
         branches_.begin();
}

std::shared_ptr<OutputEntry> BranchList::entry(const at::Tensor& input) {
  TORCH_CHECK_VALUE(
      input.defined(),
      gate_kind_,
      "::forward: expected a tensor, got an undefined one");
  return memory_.entry(InputSignature::of(input));
}

at::Tensor BranchList::run_open(
    int64_t index, const at::Tensor& input, OutputEntry& entry) const {
  const int64_t batch = batch_of(input);  // which may change in place
  at::Tensor output = run(index, input, entry);
  remember(index, output, entry, batch);
  return output;
}

at::Tensor BranchList::run_kept(
    int64_t index, const at::Tensor& input, OutputEntry& entry) const {
  InputWatch watch;
  at::Tensor output = run_open(index, watch.watch(input), entry);
  watch.check_open(label(index));
  return output;
}

at::Tensor BranchList::run_samples(
    int64_t index, const at::Tensor& input, OutputEntry& entry) const {
  const int64_t samples = batch_of(input);  // which may change in place
  at::Tensor output = run(index, input, entry);
  if (output.defined()) {
    // First, or the siblings' sizes would be blamed.
    check_rows(label(index), output, samples);
  }
  remember(index, output, entry, samples, /*has_rows=*/true);
  return output;
}

at::Tensor BranchList::run_closed(
    int64_t index,
    const at::Tensor& input,
    OutputEntry& entry,
    bool track_statistics) const {
  const NoTrace no_trace(*(*this)[index].branch.ptr(), track_statistics);
  InputWatch watch;
  at::Tensor output = run_open(index, watch.watch(input), entry).detach();
  watch.check_closed(label(index));
  no_trace.check(label(index));
  return output;
}

const OutputSpec& BranchList::closed(
    int64_t index,
    OutputEntry& entry,
    int64_t batch,
    int64_t open_sibling) const {
  ClosedBranch branch = closed_branch(index);
  if (open_sibling >= 0) {
    branch.open_sibling = find_known(open_sibling, entry, batch);
  }
  const auto run_probe = [&](int64_t samples) {
    return probe(index, entry, batch, samples);
  };
  KnownOutput* known = entry.find(index, branch.state);
  if ((known != nullptr && known->find(batch) != nullptr) ||
      (branch.shape.is_like_open_sibling() && branch.open_sibling != nullptr)) {
    return closed_spec(branch, entry, batch, run_probe);
  }
  check_device(branch.label, branch.module, entry.input.device);
  const OutputSpec& spec = closed_spec(branch, entry, batch, run_probe);
  try {
    check_fits(index, spec, entry, batch);
  } catch (...) {
    // Or the next forward would take it for checked.
    entry.forget(index, branch.state);
    throw;
  }
  return spec;
}

FlatOutput BranchList::probe(
    int64_t index,
    const OutputEntry& entry,
    int64_t batch,
    int64_t samples) const {
  const auto input = entry.input.zeros(samples < 0 ? batch : samples);
  return FlatOutput{{(*this)[index].branch.forward(input)}, {}};
}

const OutputSpec* BranchList::find_known(
    int64_t index, OutputEntry& entry, int64_t batch) const {
  KnownOutput* known = entry.find(index, state_of(index));
  return known == nullptr ? nullptr : known->find(batch);
}

int64_t BranchList::best_known(OutputEntry& entry, int64_t batch) const {
  for (int64_t i = 0; i < size(); ++i) {
    if (find_known(i, entry, batch) != nullptr) {
      return i;
    }
  }
  for (int64_t i = 0; i < size(); ++i) {
    if (shape_of(i).has_sizes()) {
      return i;
    }
  }
  return 0;
}

std::shared_ptr<BranchList> BranchList::clone(
    const std::optional<at::Device>& device) const {
  auto copy = std::make_shared<BranchList>(
      gate_kind_, branches_, default_shape_, concat_dim_);
  for (int64_t i = 0; i < size(); ++i) {
    const int64_t first = first_with_module_of(i);
    auto& branch = copy->branches_[static_cast<size_t>(i)].branch;
    branch = branch.rebind(
        first < i ? (*copy)[first].branch.ptr()
                  : clone_module(*(*this)[i].branch.ptr(), device));
  }
  copy->places_ = places_;
  const auto hollow = gone();
  const auto copies = copy->gone();
  for (size_t i = 0; i < hollow.size(); ++i) {
    HollowTensors(*hollow[i]).make_hollow_too(*copies[i]);
  }
  return copy;
}

const OutputShape& BranchList::shape_of(int64_t index) const {
  const OutputShape& own = (*this)[index].output_shape;
  const bool declared =
      own.has_sizes() || own.is_like_open_sibling() || own.dtype();
  return declared ? own : default_shape_;
}

ClosedBranch BranchList::closed_branch(int64_t index) const {
  return {
      .label = label(index),
      .module = *(*this)[index].branch.ptr(),
      .shape = shape_of(index),
      .state = state_of(index)};
}

at::Tensor BranchList::run(
    int64_t index, const at::Tensor& input, const OutputEntry& entry) const {
  const NamedBranch<>& branch = (*this)[index];
  if (entry.is_new_to(index)) {
    check_device(label(index), *branch.branch.ptr(), input.device());
  }
  const BranchRun running(*branch.branch.ptr());
  if (BranchReuse* reuse = BranchReuse::current()) {
    return reuse->get(*branch.branch.ptr(), input, [&] {
      return branch.branch.forward(input);
    });
  }
  return branch.branch.forward(input);
}

void BranchList::remember(
    int64_t index,
    const at::Tensor& output,
    OutputEntry& entry,
    int64_t batch,
    bool has_rows) const {
  TORCH_CHECK_VALUE(
      output.defined(),
      gate_kind_,
      "::forward: expected ",
      label(index).text(),
      " to return a tensor, got an undefined one");
  const uint64_t state = state_of(index);
  if (KnownOutput* known = entry.find(index, state)) {
    const OutputSpec* spec = known->find(batch);
    if (spec != nullptr && describes(*spec, output, batch)) {
      known->ran_in = entry.forward;
      return;
    }
  }
  OutputSpec spec = spec_of({{output}, {}}, OutputSpec::Source::kReturned);
  check_declared(closed_branch(index), entry.input, spec, batch);
  if (entry.at(index, state).contradicts(spec, batch)) {
    memory_.forget_all_before(entry);
  }
  check_fits(index, spec, entry, batch);
  KnownOutput& known = entry.at(index, state);
  if (has_rows && known.rule() == nullptr) {
    OutputSpec rule = spec;
    rule.tensors.front().sizes.front() = {.fixed = 0, .per_sample = 1};
    known.set_rule(std::move(rule));
  }
  known.add(std::move(spec), batch);
  known.ran_in = entry.forward;
}

// All that an entry holds fit each other, so one of them stands for all; but
// what is remembered may no longer hold, as where a width was set.
void BranchList::check_fits(
    int64_t index,
    const OutputSpec& spec,
    OutputEntry& entry,
    int64_t batch) const {
  TORCH_CHECK_VALUE(
      has_concat_dim(spec.tensors.front()),
      gate_kind_,
      "::forward: expected outputs with a dim=",
      concat_dim_.value_or(0),
      ", but ",
      label(index).text(),
      " ",
      source_text(spec.source),
      " ",
      spec.tensors.front().text(batch));
  for (int64_t other = 0; other < size(); ++other) {
    if (other == index) {
      continue;
    }
    const auto* sibling = find_known(other, entry, batch);
    if (sibling == nullptr) {
      continue;
    }
    const auto& theirs = sibling->tensors.front();
    if ((fit(spec.tensors.front(), theirs, batch) &&
         spec.tensors.front().device == theirs.device) ||
        still_returns_known(other, entry, batch)) {
      check_fits_sibling(index, spec, other, *sibling, batch);
      return;
    }
    entry.forget(other, state_of(other));
  }
}

bool BranchList::still_returns_known(
    int64_t index, OutputEntry& entry, int64_t batch) const {
  const ClosedBranch branch = closed_branch(index);
  KnownOutput& known = entry.at(index, branch.state);
  const OutputSpec& spec = *known.find(batch);
  if (known.ran_in == entry.forward || branch.shape.has_sizes()) {
    return true;
  }
  KnownOutput now;
  try {
    probe_output(branch, entry.input, now, batch, [&](int64_t samples) {
      return probe(index, entry, batch, samples);
    });
  } catch (const c10::Error&) {
    return true;  // at least nothing says otherwise
  }
  return !now.contradicts(spec, batch);
}

void BranchList::check_fits_sibling(
    int64_t index,
    const OutputSpec& spec,
    int64_t other,
    const OutputSpec& sibling,
    int64_t batch) const {
  const TensorSpec& a = spec.tensors.front();
  const TensorSpec& b = sibling.tensors.front();
  TORCH_CHECK_VALUE(
      fit(a, b, batch),
      gate_kind_,
      "::forward: ",
      label(index).text(),
      " ",
      source_text(spec.source),
      " ",
      a.text(batch),
      ", but ",
      label(other).text(),
      " ",
      source_text(sibling.source),
      " ",
      b.text(batch),
      "; all dims ",
      concat_dim_ ? c10::str("except dim=", *concat_dim_, " ") : "",
      "must match");
  TORCH_CHECK_VALUE(
      a.device == b.device,
      gate_kind_,
      "::forward: ",
      label(index).text(),
      " ",
      source_text(spec.source),
      " a tensor on ",
      a.device,
      ", but ",
      label(other).text(),
      " one on ",
      b.device);
}

bool BranchList::has_concat_dim(const TensorSpec& spec) const {
  const auto dims = static_cast<int64_t>(spec.sizes.size());
  return !concat_dim_ || (-dims <= *concat_dim_ && *concat_dim_ < dims);
}

bool BranchList::fit(
    const TensorSpec& a, const TensorSpec& b, int64_t batch) const {
  if (a.sizes.size() != b.sizes.size()) {
    return false;
  }
  const auto dims = static_cast<int64_t>(a.sizes.size());
  const int64_t free_dim =
      concat_dim_ ? c10::maybe_wrap_dim(*concat_dim_, dims) : -1;
  for (int64_t d = 0; d < dims; ++d) {
    const auto at = static_cast<size_t>(d);
    if (d != free_dim && a.sizes[at].at(batch) != b.sizes[at].at(batch)) {
      return false;
    }
  }
  return true;
}

}  // namespace gatedpaths::detail
