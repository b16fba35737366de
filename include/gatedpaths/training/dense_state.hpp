// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <torch/nn/module.h>
#include <torch/ordered_dict.h>

#include <string>

namespace gatedpaths {

/// Tensors by name, as in a checkpoint.
using StateDict = torch::OrderedDict<std::string, torch::Tensor>;

/// The parameters and buffers of a network as if each layer on slots
/// (`SlotLinear`, `SlotConv2d`, `SlotBatchNorm2d`, ...) were the dense layer:
/// `fc.weight_0` and `fc.weight_1` become `fc.weight`. The names are those that
/// the dense network has, in C++ and in PyTorch.
///
/// The tensors share memory with the network's where nothing was joined, and
/// have no graph.
///
/// Example:
/// ```
/// dense_net_can_load(gatedpaths::slots_to_dense(*net));
/// ```
GATEDPATHS_EXPORT StateDict slots_to_dense(const torch::nn::Module& net);

/// Copies the tensors of a dense network into one with layers on slots: the
/// reverse of `slots_to_dense`. Everything is checked before anything is
/// changed.
///
/// A checkpoint of PyTorch's (`torch.save` of a state dict) can be read with
/// `torch::pickle_load`.
///
/// Throws: `c10::ValueError` for names that are missing or unexpected, or a
/// tensor of another shape, with both sides; the network is then untouched.
GATEDPATHS_EXPORT void slots_from_dense(
    torch::nn::Module& net, const StateDict& dense);

}  // namespace gatedpaths
