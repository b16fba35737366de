// SPDX-License-Identifier: MIT
#include "slot_layer.hpp"

#include <gatedpaths/branches/detail/input_signature.hpp>
#include <gatedpaths/branches/detail/sample_gates.hpp>

#include "../branches/along_dim.hpp"
#include "../branches/sum_dtype.hpp"

#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/DispatchKeySet.h>
#include <c10/core/GradMode.h>
#include <c10/core/WrapDimMinimal.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace gatedpaths::detail {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The dtype that autocast gives what a layer computes of `value`, if any.
std::optional<at::ScalarType> autocast_of(const at::Tensor& value) {
  // Autocast leaves double alone.
  return value.scalar_type() == at::kDouble
             ? std::nullopt
             : autocast_dtype(value.device().type());
}

at::Tensor to_dtype(const at::Tensor& tensor, at::ScalarType dtype) {
  return tensor.defined() ? tensor.to(dtype) : tensor;
}

at::Tensor sum_in_dtype(
    const Slots& slots,
    SlotProduct product,
    const std::vector<at::Tensor>& weights,
    const at::Tensor& bias,
    int64_t dim) {
  std::vector<at::Tensor> products;
  std::vector<at::Tensor> rows;
  bool has_bias = !bias.defined();
  for (size_t i = 0; i < slots.values().size(); ++i) {
    const int64_t slot = slots.positions()[i];
    rows.push_back(slots.samples(slot));
    const bool is_whole = !rows.back().defined();
    products.push_back(product(
        slots.values()[i],
        weights[static_cast<size_t>(slot)],
        is_whole && !has_bias ? bias : at::Tensor()));
    has_bias = has_bias || is_whole;
  }
  auto sum = put_rows(products, rows, slots.batch_size(), /*disjoint=*/false);
  if (has_bias) {
    return sum;
  }
  // Under autocast the products are of another dtype than the bias.
  return sum + along_dim(bias, dim, sum.dim()).to(sum.scalar_type());
}

class Coast : public torch::autograd::Function<Coast> {
 public:
  static at::Tensor forward(
      AutogradContext* context,
      const at::Tensor& output,
      at::TensorList closed) {
    context->set_materialize_grads(false);
    // Not for their values, so that an optimizer may step them meanwhile.
    std::vector<at::Tensor> like;
    like.reserve(closed.size());
    for (const at::Tensor& weight : closed) {
      like.push_back(weight.detach());
    }
    context->saved_data["closed"] = std::move(like);
    // The very memory, but no view: those may not be changed in place.
    return output.detach();
  }

  static variable_list backward(
      AutogradContext* context, const variable_list& gradients) {
    const auto closed = context->saved_data["closed"].toTensorVector();
    variable_list result(closed.size() + 1);
    if (!gradients.front().defined()) {
      return result;
    }
    result.front() = gradients.front();
    for (size_t i = 0; i < closed.size(); ++i) {
      if (context->needs_input_grad(i + 1)) {
        result[i + 1] = at::zeros_like(closed[i]);
      }
    }
    return result;
  }
};

}  // namespace

void check_slot_sizes(
    std::string_view layer,
    std::string_view option,
    const std::vector<int64_t>& sizes,
    bool were_dropped) {
  TORCH_CHECK_VALUE(
      !sizes.empty() || were_dropped,
      layer,
      ": expected ",
      option,
      " of at least one slot, got []");
  TORCH_CHECK_VALUE(
      std::all_of(sizes.begin(), sizes.end(), [](auto s) { return s >= 1; }),
      layer,
      ": expected ",
      option,
      " of at least 1 each, got ",
      c10::IntArrayRef(sizes));
}

void check_slot_index(std::string_view layer, int64_t index, int64_t slots) {
  TORCH_CHECK_INDEX(
      index >= 0 && index < slots,
      layer,
      "::slot_parameters: expected a slot in [0, ",
      slots,
      "), got ",
      index);
}

void check_slots(
    std::string_view layer,
    const Slots& slots,
    const std::vector<int64_t>& sizes,
    int64_t dim) {
  TORCH_CHECK_VALUE(
      slots.num_slots() == static_cast<int64_t>(sizes.size()),
      layer,
      "::forward: expected Slots of ",
      sizes.size(),
      " slots, got ",
      slots.num_slots());
  const auto positions = slots.positions();
  for (size_t i = 0; i < positions.size(); ++i) {
    check_slot(
        layer,
        slots.values()[i],
        slots.dim(),
        positions[i],
        sizes[static_cast<size_t>(positions[i])],
        dim);
  }
}

void check_slot(
    std::string_view layer,
    const at::Tensor& value,
    int64_t slots_dim,
    int64_t slot,
    int64_t size,
    int64_t dim) {
  const int64_t dims = value.dim();
  const int64_t wanted = dim < 0 ? dims + dim : dim;
  TORCH_CHECK_VALUE(
      wanted >= 0 && wanted < dims &&
          c10::maybe_wrap_dim(slots_dim, dims) == wanted,
      layer,
      "::forward: expected slots that are concatenated along dim ",
      dim,
      ", got slots of ",
      value.sizes(),
      " along dim ",
      slots_dim,
      dim < 0 ? "; flatten() them first" : "");
  TORCH_CHECK_VALUE(
      value.size(wanted) == size,
      layer,
      "::forward: expected slot ",
      slot,
      " to have ",
      size,
      " along dim ",
      wanted,
      ", got ",
      value.sizes());
}

SlotSplit split_of(
    std::string dense_name, std::vector<int64_t> sizes, int64_t dim) {
  SlotSplit split;
  for (size_t i = 0; i < sizes.size(); ++i) {
    split.slot_names.push_back(fmt::format("{}_{}", dense_name, i));
  }
  split.dense_name = std::move(dense_name);
  split.sizes = std::move(sizes);
  split.dim = dim;
  return split;
}

at::Tensor bias_alone(
    const at::Tensor& bias,
    c10::IntArrayRef sizes,
    const at::TensorOptions& options,
    int64_t dim) {
  if (!bias.defined()) {
    return at::zeros(sizes, options);
  }
  return along_dim(bias, dim, static_cast<int64_t>(sizes.size()))
      .expand(sizes)
      .to(options.dtype(),
          /*non_blocking=*/false,
          /*copy=*/true,
          at::MemoryFormat::Contiguous);
}

at::Tensor joined_weights(
    const std::vector<at::Tensor>& weights, c10::IntArrayRef positions) {
  std::vector<at::Tensor> open;
  open.reserve(positions.size());
  for (const int64_t slot : positions) {
    open.push_back(weights[static_cast<size_t>(slot)]);
  }
  return at::cat(open, 1);
}

bool computes_in_reduced(const at::Tensor& value, const at::Tensor& weight) {
  const auto autocast = autocast_of(value);
  return autocast ? is_reduced(*autocast)
                  : is_reduced(value.scalar_type()) &&
                        value.scalar_type() == weight.scalar_type();
}

at::Tensor sum_partial(
    const Slots& slots,
    SlotProduct product,
    const std::vector<at::Tensor>& weights,
    const at::Tensor& bias,
    int64_t dim) {
  const auto& first = slots.values().front();
  if (computes_in_reduced(first, weights.front())) {
    const auto dtype = autocast_of(first).value_or(first.scalar_type());
    const auto wide = sum_dtype(dtype);
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(
        c10::autocast_dispatch_keyset);
    const auto wide_product = [&](const at::Tensor& value,
                                  const at::Tensor& weight,
                                  const at::Tensor& with_bias) {
      return product(value.to(wide), weight.to(wide), with_bias);
    };
    return sum_in_dtype(slots, wide_product, weights, to_dtype(bias, wide), dim)
        .to(dtype);
  }
  return sum_in_dtype(slots, product, weights, bias, dim);
}

at::Tensor let_coast(
    const at::Tensor& output,
    const std::vector<at::Tensor>& weights,
    c10::IntArrayRef open) {
  if (!c10::GradMode::is_enabled()) {
    return output;
  }
  std::vector<bool> is_open(weights.size());
  for (const int64_t slot : open) {
    is_open[static_cast<size_t>(slot)] = true;
  }
  std::vector<at::Tensor> closed;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (!is_open[i]) {
      closed.push_back(weights[i]);
    }
  }
  return closed.empty() ? output : Coast::apply(output, at::TensorList(closed));
}

}  // namespace gatedpaths::detail
