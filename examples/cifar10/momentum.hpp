// SPDX-License-Identifier: MIT
// The momentum of SGD by the names of the parameters: its own `save` names them
// by addresses.
#pragma once

#include <gatedpaths/exchange/dense_state.hpp>

#include <torch/nn/module.h>
#include <torch/optim/sgd.h>
#include <torch/serialize/archive.h>

namespace cifar10 {

/// That of each parameter that has one.
gatedpaths::StateDict momentum_of(
    const torch::nn::Module& net, torch::optim::SGD& optimizer);

/// That of an archive, whose names and sizes are those of the dense form, for
/// the net's form. Throws where they are not.
gatedpaths::StateDict read_momentum(
    const torch::nn::Module& net, torch::serialize::InputArchive& archive);

/// Puts copies of it in the place of all that the optimizer has.
void set_momentum(
    const torch::nn::Module& net,
    torch::optim::SGD& optimizer,
    const gatedpaths::StateDict& momentum);

}  // namespace cifar10
