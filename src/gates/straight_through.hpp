// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <ATen/core/Tensor.h>

namespace gatedpaths::detail {

/// `active` itself (the same memory, bit for bit: nothing is multiplied), whose
/// backward passes the gradient g on to `active`, and gives each weight the
/// gradient that it would have in `weights[0] * active + weights[1] * other`,
/// the sum over all elements of g times that output. Reduced dtypes are summed
/// in float. `other` gets no gradient.
///
/// `weights`: `[1]`, or `[2]` with an `other` of the shape of `active`. They
/// may be on another device.
///
/// Keeps `active` and `other` alive until the backward, so that neither may be
/// changed in place in between: the backward throws then. Cannot be
/// differentiated twice.
GATEDPATHS_EXPORT at::Tensor straight_through(
    const at::Tensor& weights,
    const at::Tensor& active,
    const at::Tensor& other = {});

}  // namespace gatedpaths::detail
