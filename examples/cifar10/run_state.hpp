// SPDX-License-Identifier: MIT
// The checkpoint of a run: the net, the momentum, where the run is, and the
// settings that it was made with. The order of the images and the paths need
// nothing: both are functions of the seed and of counts. Weights and momentum
// stand in it as those of the dense form, so that either form can go on.
#pragma once

#include "json.hpp"
#include "position.hpp"

#include <torch/nn/module.h>
#include <torch/optim/sgd.h>

#include <filesystem>
#include <string>

namespace cifar10 {

/// Writes the file; the old one stays until the new one is whole. `settings` is
/// an object of flags and values.
void save_run(
    const std::filesystem::path& file,
    const torch::nn::Module& net,
    torch::optim::SGD& optimizer,
    const Position& position,
    const Json& settings);

/// Puts a saved run into a net and an optimizer that were made with the same
/// settings, on whatever device either is. Throws, and changes neither, where
/// the file is not whole, its content has another checksum than it had when it
/// was saved, its settings are others, its position is none of a run of this
/// length, or it holds other tensors than the net has.
Position load_run(
    const std::filesystem::path& file,
    torch::nn::Module& net,
    torch::optim::SGD& optimizer,
    const Json& settings,
    const RunLength& length);

/// Puts the weights alone of a saved run into a net on the CPU, and gives the
/// checksum of the file's content. The run may have been any whose settings
/// have these values: null stands for none of that name, and others do not
/// matter. Throws as `load_run`, and changes nothing then.
std::string load_weights(
    const std::filesystem::path& file,
    torch::nn::Module& net,
    const Json& settings);

/// Throws where a checkpoint of this name cannot be written, so that a run does
/// not find that out after its first epoch.
void require_checkpoint_folder(const std::filesystem::path& file);

}  // namespace cifar10
