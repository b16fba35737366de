// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <ATen/core/Tensor.h>

namespace gatedpaths::detail {

/// A copy of `active`, bit for bit (nothing is multiplied), whose backward
/// passes the gradient g on to `active`, and gives each weight the gradient
/// that it would have in `weights[0] * active + weights[1] * other`, the sum
/// over all elements of g times that output. Reduced dtypes are summed in
/// float. `other` gets no gradient.
///
/// `weights`: `[1]`, or `[2]` with an `other` of the shape of `active`. They
/// may be on another device.
///
/// The copy is what may be changed in place: `active` and `other` are kept
/// until the backward, which needs their values.
///
/// Can be differentiated any number of times, as `(weights[0] + c) * active`
/// with the constant c = 1 - weights[0]; with an `other`, which has no graph,
/// the gradient of the weights only once: its backward throws.
GATEDPATHS_EXPORT at::Tensor straight_through(
    const at::Tensor& weights,
    const at::Tensor& active,
    const at::Tensor& other = {});

}  // namespace gatedpaths::detail
