// SPDX-License-Identifier: MIT
#include <gatedpaths/slots/slots.hpp>

#include <gatedpaths/branches/detail/branch_outputs.hpp>
#include <gatedpaths/branches/detail/sample_gates.hpp>

#include "../branches/branch_list.hpp"

#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/WrapDimMinimal.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace gatedpaths {
namespace {

// Neighbouring empty slots are one block of zeros.
class ZeroRun {
 public:
  bool extend(const detail::TensorSpec& spec, size_t dim, int64_t batch) {
    if (!block_) {
      block_ = spec;
      return true;
    }
    if (block_->dtype != spec.dtype || block_->device != spec.device ||
        block_->memory_format != spec.memory_format) {
      return false;
    }
    auto& size = block_->sizes[dim];
    size = {
        .fixed = size.at(batch) + spec.sizes[dim].at(batch), .per_sample = 0};
    return true;
  }

  void flush(c10::SmallVectorImpl<at::Tensor>& parts, int64_t batch) {
    if (block_) {
      parts.push_back(block_->zeros(batch));
      block_.reset();
    }
  }

 private:
  std::optional<detail::TensorSpec> block_;
};

}  // namespace

Slots::Slots(
    std::shared_ptr<detail::BranchList> branches,
    detail::BranchOutputs outputs,
    int64_t dim)
    : branches_(std::move(branches)),
      entry_(std::move(outputs.entry)),
      dim_(dim),
      batch_(outputs.batch),
      positions_(std::move(outputs.positions)),
      values_(std::move(outputs.values)),
      samples_(values_.size()) {
  if (outputs.gates) {
    samples_.assign(outputs.gates->rows.begin(), outputs.gates->rows.end());
  }
}

int64_t Slots::num_slots() const noexcept { return branches_->num_kept(); }

std::vector<std::string> Slots::names() const { return branches_->names(); }

bool Slots::holds(int64_t index) const {
  check_index("holds", index);
  return std::binary_search(positions_.begin(), positions_.end(), index);
}

const at::Tensor& Slots::at(int64_t index) const& {
  return values_[place_of("at", index)];
}

const at::Tensor& Slots::samples(int64_t index) const& {
  return samples_[place_of("samples", index)];
}

bool Slots::is_partial() const noexcept {
  return std::any_of(samples_.begin(), samples_.end(), [](const auto& list) {
    return list.defined();
  });
}

at::Tensor Slots::dense() const {
  const int64_t places = branches_->size();
  if (places == 1 && values_.size() == 1) {
    return whole_value(0);
  }
  const auto place_of = [&](int64_t slot) { return branches_->place(slot); };
  const int64_t open_sibling =
      positions_.empty() ? -1 : place_of(positions_.front());
  c10::SmallVector<at::Tensor, 8> parts;
  ZeroRun run;
  const auto* next_held = positions_.begin();
  for (int64_t place = 0; place < places; ++place) {
    if (next_held != positions_.end() && place_of(*next_held) == place) {
      run.flush(parts, batch_);
      parts.push_back(
          whole_value(static_cast<size_t>(next_held - positions_.begin())));
      ++next_held;
    } else if (functions_.empty()) {
      const auto& spec = branches_->closed(place, *entry_, batch_, open_sibling)
                             .tensors.front();
      const auto dims = static_cast<int64_t>(spec.sizes.size());
      const auto dim = static_cast<size_t>(c10::maybe_wrap_dim(dim_, dims));
      if (!run.extend(spec, dim, batch_)) {
        run.flush(parts, batch_);
        run.extend(spec, dim, batch_);
      }
    } else {
      parts.push_back(empty_value(place, open_sibling));
    }
  }
  run.flush(parts, batch_);
  return parts.size() == 1 ? parts.front()
                           : at::cat(c10::ArrayRef<at::Tensor>(parts), dim_);
}

Slots Slots::flatten() const {
  // Kept beyond this object's life.
  const auto check_dim = [dim = dim_](int64_t dims) {
    TORCH_CHECK_VALUE(
        dims >= 2 && c10::maybe_wrap_dim(dim, dims) == 1,
        "Slots::flatten: expected slots that are concatenated along dim 1, so "
        "that their features lie side by side, got slots of ",
        dims,
        " dims along dim ",
        dim);
  };
  Slots flat = *this;
  flat.dim_ = 1;
  for (auto& value : flat.values_) {
    check_dim(value.dim());
    value = value.flatten(1);
  }
  const auto apply = [check_dim](const at::Tensor& value) {
    check_dim(value.dim());
    return value.flatten(1);
  };
  flat.functions_.push_back({apply, apply});
  return flat;
}

Slots Slots::map_values(detail::SlotFunction function, NonZero non_zero) const {
  const auto check_defined = [](const at::Tensor& image) {
    TORCH_CHECK_VALUE(
        image.defined(),
        "Slots::map: expected a function that returns a tensor, got an "
        "undefined one");
  };
  Slots mapped = *this;
  if (non_zero == NonZero::kRefuse && !values_.empty()) {
    auto sizes = values_.front().sizes().vec();
    if (!sizes.empty()) {
      sizes.front() = 1;
    }
    const auto image = function.apply_without_trace(
        at::zeros(sizes, values_.front().options()));
    check_defined(image);
    const auto left = image.count_nonzero().item<int64_t>();
    TORCH_CHECK_VALUE(
        left == 0,
        "Slots::map: expected a function that leaves zeros zero, so that empty "
        "slots may stay empty, got one that makes ",
        left,
        " of ",
        image.numel(),
        " zeros into something else, such as ",
        image.flatten()[image.flatten().nonzero()[0].item<int64_t>()]
            .item<double>(),
        "; use NonZero::kAllow where that is wanted");
  }
  for (auto& value : mapped.values_) {
    auto image = function.apply(value);
    check_defined(image);
    TORCH_CHECK_VALUE(
        value.dim() == 0 || (image.dim() > 0 && image.size(0) == value.size(0)),
        "Slots::map: expected a function that keeps the ",
        value.dim() == 0 ? 1 : value.size(0),
        " samples of ",
        value.sizes(),
        ", got ",
        image.sizes());
    value = std::move(image);
  }
  mapped.functions_.push_back(std::move(function));
  return mapped;
}

at::Tensor Slots::whole_value(size_t i) const {
  return detail::put_rows(values_[i], {samples_[i]}, batch_, /*disjoint=*/true);
}

size_t Slots::place_of(const char* method, int64_t index) const {
  check_index(method, index);
  const auto* found =
      std::lower_bound(positions_.begin(), positions_.end(), index);
  TORCH_CHECK_VALUE(
      found != positions_.end() && *found == index,
      "Slots::",
      method,
      ": expected a slot that holds a value, one of ",
      c10::IntArrayRef(positions_),
      ", got ",
      branches_->label(branches_->place(index)).text());
  return static_cast<size_t>(found - positions_.begin());
}

at::Tensor Slots::empty_value(int64_t place, int64_t open_sibling) const {
  at::Tensor value = branches_->closed(place, *entry_, batch_, open_sibling)
                         .tensors.front()
                         .zeros(batch_);
  for (const auto& function : functions_) {
    value = at::zeros_like(function.apply_without_trace(value));
  }
  return value;
}

void Slots::check_index(const char* method, int64_t index) const {
  TORCH_CHECK_INDEX(
      index >= 0 && index < num_slots(),
      "Slots::",
      method,
      ": expected a slot in [0, ",
      num_slots(),
      "), got ",
      index);
}

}  // namespace gatedpaths
