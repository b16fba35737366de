// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/slots/slot_consumer.hpp>
#include <gatedpaths/slots/slots.hpp>

#include <ATen/core/Tensor.h>
#include <c10/util/FunctionRef.h>
#include <torch/nn/module.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// What the layers on `Slots` share.

namespace gatedpaths::detail {

/// Throws for no slot, or one of a size below 1.
void check_slot_sizes(
    std::string_view layer,
    std::string_view option,
    const std::vector<int64_t>& sizes);

/// Throws for a slot that does not exist.
void check_slot_index(std::string_view layer, int64_t index, int64_t slots);

/// Throws where `slots` are of another gate than the layer was made for:
/// another number, concatenated along another dim than `dim`, or of other
/// sizes.
void check_slots(
    std::string_view layer,
    const Slots& slots,
    const std::vector<int64_t>& sizes,
    int64_t dim);

/// Throws where the value of one slot, concatenated along `slots_dim`, is not
/// of `size` along `dim`.
void check_slot(
    std::string_view layer,
    const at::Tensor& value,
    int64_t slots_dim,
    int64_t slot,
    int64_t size,
    int64_t dim);

/// `weight` -> `weight_0`, `weight_1`, ... cut along `dim`.
SlotSplit split_of(
    std::string dense_name, std::vector<int64_t> sizes, int64_t dim);

/// What a layer gives with no slot open: its bias along `dim` of `sizes`, or
/// zeros where it has none.
at::Tensor bias_alone(
    const at::Tensor& bias,
    c10::IntArrayRef sizes,
    const at::TensorOptions& options,
    int64_t dim);

/// The layer's output where slots hold a part of the samples: the sum of
/// `product(i, bias)` over the values, each on its own samples, with the bias
/// along `dim` once in every row.
at::Tensor sum_partial(
    const Slots& slots,
    c10::function_ref<at::Tensor(size_t i, const at::Tensor& bias)> product,
    const at::Tensor& bias,
    int64_t dim);

/// `output`, to be used in its place, with the weights of all but the `open`
/// slots behind it: a backward gives them a gradient of zeros.
at::Tensor let_coast(
    const at::Tensor& output,
    const std::vector<at::Tensor>& weights,
    c10::IntArrayRef open);

}  // namespace gatedpaths::detail
