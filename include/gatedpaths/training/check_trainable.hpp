// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/paths/path_space.hpp>

#include <ATen/core/Tensor.h>

namespace gatedpaths {

/// Throws where `loss` depends on nothing that can be trained, so that its
/// `backward()` would fail without saying why.
///
/// That is so where every branch on the way is closed and nothing behind them
/// has a parameter that requires grad: the output of closed branches is zeros,
/// which depend on no parameter. Costs nothing: it looks at the loss alone.
///
/// Throws: `c10::ValueError` with the current path of `space`.
///
/// Example:
/// ```
/// space.apply(sampler.next());
/// auto loss = net->forward(x).square().mean();
/// gatedpaths::check_trainable(loss, space);
/// loss.backward();
/// ```
GATEDPATHS_EXPORT void check_trainable(
    const at::Tensor& loss, const PathSpace& space);

}  // namespace gatedpaths
