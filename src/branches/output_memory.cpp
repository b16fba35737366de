// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/output_memory.hpp>

#include <algorithm>
#include <utility>

namespace gatedpaths::detail {
namespace {

// Of one branch for one kind of input: widths that are set, mostly.
constexpr size_t kMaxStates = 256;

}  // namespace

InputKind InputKind::of(const at::Tensor& input) {
  InputKind kind;
  const auto sizes = input.sizes();
  kind.has_batch = !sizes.empty();
  if (kind.has_batch) {
    kind.sizes.assign(sizes.begin() + 1, sizes.end());
  }
  kind.dtype = input.scalar_type();
  kind.device = input.device();
  kind.memory_format = input.suggest_memory_format();
  kind.autocast = autocast_dtype(input.device().type());
  return kind;
}

at::Tensor InputKind::zeros(int64_t samples) const {
  TensorSpec spec;
  if (has_batch) {
    spec.sizes.push_back({.fixed = samples, .per_sample = 0});
  }
  for (const int64_t size : sizes) {
    spec.sizes.push_back({.fixed = size, .per_sample = 0});
  }
  spec.dtype = dtype;
  spec.device = device;
  spec.memory_format = memory_format;
  return spec.zeros(samples);
}

KnownOutput* OutputEntry::find_behind(int64_t branch, uint64_t state) {
  auto& known = branches[static_cast<size_t>(branch)];
  const auto found =
      std::find_if(known.begin(), known.end(), [state](const InState& one) {
        return one.state == state;
      });
  if (found == known.end()) {
    return nullptr;
  }
  std::rotate(known.begin(), found, found + 1);
  return known.front().output.get();
}

KnownOutput& OutputEntry::at(int64_t branch, uint64_t state) {
  if (KnownOutput* known = find(branch, state)) {
    return *known;
  }
  auto& known = branches[static_cast<size_t>(branch)];
  if (known.size() == kMaxStates) {
    known.pop_back();
  }
  known.insert(known.begin(), InState{state, std::make_unique<KnownOutput>()});
  return *known.front().output;
}

void OutputEntry::forget(int64_t branch, uint64_t state) {
  std::erase_if(
      branches[static_cast<size_t>(branch)],
      [state](const InState& one) { return one.state == state; });
}

void OutputMemory::clear() noexcept {
  for (const auto& [signature, entry] : entries_) {
    entry->is_past = true;
  }
  if (last_) {
    last_->is_past = true;
  }
  last_.reset();
  entries_.clear();
  rules_.clear();
  for (auto& state : states_) {
    state = BranchState();
  }
}

void OutputMemory::keep_last() { entries_.put(last_->signature, last_); }

void OutputMemory::forget_all_before(OutputEntry& entry) {
  entries_.clear();
  rules_.clear();
  for (auto& branch : entry.branches) {
    std::erase_if(branch, [&](const OutputEntry::InState& one) {
      return one.output->ran_in != entry.forward;
    });
  }
  if (entry.numbers) {
    *entry.numbers = ArgumentRules();
  }
  if (last_.get() == &entry) {
    keep_last();
  }
}

void OutputMemory::find_or_make(const InputSignature& signature) {
  if (const Entry* known = entries_.find(signature)) {
    last_ = *known;
    return;
  }
  last_ = std::make_shared<OutputEntry>();
  last_->signature = signature;
  last_->signature.forget_tensor();
  last_->input = InputKind::of(*signature.first_tensor());
  last_->branches.resize(states_.size());
  if (!signature.has_numbers()) {
    keep_last();
    return;
  }
  auto rest = last_->signature.without_numbers();
  if (const Rules* rules = rules_.find(rest)) {
    last_->numbers = *rules;
  } else {
    last_->numbers = rules_.put(rest, std::make_shared<ArgumentRules>());
  }
}

bool describes(
    const OutputSpec& spec, c10::ArrayRef<at::Tensor> output, int64_t batch) {
  if (spec.source != OutputSpec::Source::kReturned ||
      spec.tensors.size() != output.size()) {
    return false;
  }
  for (size_t t = 0; t < output.size(); ++t) {
    const TensorSpec& tensor = spec.tensors[t];
    if (output[t].defined() != tensor.defined) {
      return false;
    }
    if (!tensor.defined) {
      continue;
    }
    const auto sizes = output[t].sizes();
    if (sizes.size() != tensor.sizes.size() ||
        output[t].scalar_type() != tensor.dtype ||
        output[t].device() != tensor.device) {
      return false;
    }
    for (size_t d = 0; d < sizes.size(); ++d) {
      if (sizes[d] != tensor.sizes[d].at(batch)) {
        return false;
      }
    }
    if (output[t].suggest_memory_format() != tensor.memory_format) {
      return false;
    }
  }
  return true;
}

}  // namespace gatedpaths::detail
