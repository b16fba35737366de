// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/output_memory.hpp>

#include <algorithm>
#include <utility>

namespace gatedpaths::detail {
namespace {

// Inputs of ever new sizes must not grow the memory without bound.
constexpr size_t kMaxEntries = 64;

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

void OutputMemory::clear() noexcept {
  last_.reset();
  entries_.clear();
}

const std::shared_ptr<OutputEntry>& OutputMemory::find_or_make(
    const InputSignature& signature) {
  const auto found =
      std::find_if(entries_.begin(), entries_.end(), [&](const auto& entry) {
        return entry->signature == signature;
      });
  if (found != entries_.end()) {
    last_ = *found;
    return last_;
  }
  if (entries_.size() == kMaxEntries) {
    entries_.erase(entries_.begin());
  }
  last_ = std::make_shared<OutputEntry>();
  last_->signature = signature;
  last_->signature.forget_tensor();
  last_->input = InputKind::of(*signature.first_tensor());
  last_->specs.resize(branches_);
  entries_.push_back(last_);
  return last_;
}

bool describes(
    const OutputSpec& spec, const at::Tensor& output, int64_t batch) {
  if (!output.defined() || spec.source != OutputSpec::Source::kReturned ||
      spec.tensors.size() != 1 || !spec.holds_for(batch)) {
    return false;
  }
  const TensorSpec& tensor = spec.tensors.front();
  const auto sizes = output.sizes();
  if (sizes.size() != tensor.sizes.size() ||
      output.scalar_type() != tensor.dtype ||
      output.device() != tensor.device) {
    return false;
  }
  for (size_t d = 0; d < sizes.size(); ++d) {
    if (sizes[d] != tensor.sizes[d].at(batch)) {
      return false;
    }
  }
  return output.suggest_memory_format() == tensor.memory_format;
}

OutputSpec spec_of_returned(const FlatOutput& output, int64_t batch) {
  OutputSpec spec = spec_of(output);
  spec.source = OutputSpec::Source::kReturned;
  // One tensor whose first size is the batch's follows the batch; in anything
  // else equal numbers may be a coincidence.
  if (spec.tensors.size() == 1 && spec.structure.empty() && batch >= 0 &&
      !spec.tensors.front().sizes.empty() &&
      spec.tensors.front().sizes.front().fixed == batch) {
    spec.tensors.front().sizes.front() = {.fixed = 0, .per_sample = 1};
  } else {
    spec.only_batch = batch;
  }
  return spec;
}

void update_known(
    std::optional<OutputSpec>& known, OutputSpec returned, int64_t batch) {
  if (known && !known->only_batch && known->same_sizes(returned, batch)) {
    for (size_t t = 0; t < returned.tensors.size(); ++t) {
      returned.tensors[t].sizes = known->tensors[t].sizes;
    }
    returned.only_batch.reset();
  }
  known = std::move(returned);
}

}  // namespace gatedpaths::detail
