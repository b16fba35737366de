// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/network_ref.hpp>
#include <gatedpaths/export.hpp>

#include <torch/nn/module.h>

#include <functional>

namespace gatedpaths {

/// Gives a module's own parameters and buffers (not those of its children)
/// their first values, and returns whether it knows such a module.
using WeightInitialiser = std::function<bool(torch::nn::Module& module)>;

/// Gives all parameters and buffers of a network fresh values, as if it had
/// just been made: each module of LibTorch's by its own `reset_parameters()`,
/// the layers on slots as the dense layers of the same sizes.
///
/// Modules are visited depth first, children before their parent and each once,
/// in registration order, so that LibTorch's random stream gives a network that
/// registers its modules as it makes them the values that it would get anew.
/// `initialise` is asked first for each; it is needed for classes of yours that
/// own parameters. Buffers of a class of yours stay as they are unless it says
/// otherwise. The tensors stay the same ones: an optimizer that holds them
/// stays valid, but for what it remembers of them.
///
/// Throws: `c10::ValueError` for an empty holder, or a module with parameters
/// of its own that nobody knows how to make, by name; nothing has changed then
/// unless `initialise` changed it.
///
/// Example:
/// ```
/// gatedpaths::reset_weights(net, [](torch::nn::Module& module) {
///   auto* scale = dynamic_cast<ScaleImpl*>(&module);
///   if (scale != nullptr) {
///     torch::nn::init::ones_(scale->weight);
///   }
///   return scale != nullptr;
/// });
/// ```
GATEDPATHS_EXPORT void reset_weights(
    const NetworkRef& net, const WeightInitialiser& initialise = {});

}  // namespace gatedpaths
