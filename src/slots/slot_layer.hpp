// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/slots/slot_consumer.hpp>
#include <gatedpaths/slots/slots.hpp>

#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>
#include <c10/util/FunctionRef.h>
#include <torch/nn/module.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// What the layers on `Slots` share.

namespace gatedpaths::detail {

/// Throws for no slot, unless all of them `were_dropped`, or one of a size
/// below 1.
void check_slot_sizes(
    std::string_view layer,
    std::string_view option,
    const std::vector<int64_t>& sizes,
    bool were_dropped = false);

/// The elements at `kept`.
template <class T>
std::vector<T> take_kept(
    const std::vector<T>& elements, c10::IntArrayRef kept) {
  std::vector<T> taken;
  for (const int64_t index : kept) {
    taken.push_back(elements[static_cast<size_t>(index)]);
  }
  return taken;
}

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

/// The weights of the slots at `positions`, joined along their second dim.
at::Tensor joined_weights(
    const std::vector<at::Tensor>& weights, c10::IntArrayRef positions);

/// Whether a layer of such a weight computes on `value` in a reduced dtype, of
/// its own or by autocast. What it adds up over slots has to be added up in
/// another one, or each slot rounds the sum once more.
bool computes_in_reduced(const at::Tensor& value, const at::Tensor& weight);

/// What a layer computes of a value, by its weight and bias.
using SlotProduct = c10::function_ref<at::Tensor(
    const at::Tensor& value, const at::Tensor& weight, const at::Tensor& bias)>;

/// The layer's output where slots hold a part of the samples: the sum of the
/// products over the values, each on its own samples, with the bias along `dim`
/// once in every row. `weights` are those of all slots. Reduced dtypes are
/// multiplied and added up in float, and rounded once.
at::Tensor sum_partial(
    const Slots& slots,
    SlotProduct product,
    const std::vector<at::Tensor>& weights,
    const at::Tensor& bias,
    int64_t dim);

/// `output`, to be used in its place, with the weights of all but the `open`
/// slots behind it: a backward gives them a gradient of zeros.
at::Tensor let_coast(
    const at::Tensor& output,
    const std::vector<at::Tensor>& weights,
    c10::IntArrayRef open);

}  // namespace gatedpaths::detail
