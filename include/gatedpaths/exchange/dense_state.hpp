// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/network_ref.hpp>
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
/// The tensors are copies, all of them, without a graph: what is trained later
/// does not change them.
///
/// Example:
/// ```
/// dense_net_can_load(gatedpaths::slots_to_dense(net));
/// ```
GATEDPATHS_EXPORT StateDict slots_to_dense(const torch::nn::Module& net);
/// \overload
template <detail::NetworkHandle Net>
StateDict slots_to_dense(const Net& net) {
  return slots_to_dense(NetworkRef(net).module("slots_to_dense"));
}

/// Copies the tensors of a dense network into one with layers on slots: the
/// reverse of `slots_to_dense`. Everything is checked before anything is
/// changed. A network that has one tensor under two names takes equal values
/// for these, and only such.
///
/// A checkpoint of PyTorch's (`torch.save` of a state dict) can be read with
/// `torch::pickle_load`.
///
/// Throws: `c10::ValueError` for names that are missing or unexpected, or a
/// tensor of another shape, with both sides, and tensors of the network that
/// cannot be written (expanded ones, inference tensors); the network is then
/// untouched.
GATEDPATHS_EXPORT void slots_from_dense(
    torch::nn::Module& net, const StateDict& dense);
/// \overload
template <detail::NetworkHandle Net>
void slots_from_dense(const Net& net, const StateDict& dense) {
  slots_from_dense(NetworkRef(net).module("slots_from_dense"), dense);
}

/// Joins what goes with the parameters and buffers of a network one by one, an
/// optimizer's momentum or moments say, as `slots_to_dense` joins these.
///
/// `tensors` have the names and shapes of the network's own; any may be left
/// out (or undefined). The result has the dense names. Where no part of a
/// tensor is given it is left out; where some are, the others are zeros, which
/// to SGD without dampening is the same as no momentum yet. Of what each slot
/// has whole, a counter, it is the largest.
///
/// The tensors are copies, all of them, without a graph. The parts of one
/// tensor should be of one dtype and device, which the network need not share.
///
/// Throws: `c10::ValueError` for names that are unexpected, or a tensor of
/// another shape, with both sides.
///
/// Example:
/// ```
/// StateDict momentum;  // of "fc.weight_1", which alone was open so far
/// gatedpaths::join_slots(net, momentum);  // of "fc.weight"
/// ```
GATEDPATHS_EXPORT StateDict
join_slots(const torch::nn::Module& net, const StateDict& tensors);
/// \overload
template <detail::NetworkHandle Net>
StateDict join_slots(const Net& net, const StateDict& tensors) {
  return join_slots(NetworkRef(net).module("join_slots"), tensors);
}

/// Cuts tensors of a dense network into those of one with layers on slots: the
/// reverse of `join_slots`. The network gives the shapes, and is not changed.
///
/// `dense` has the dense names and shapes; any tensor may be left out (or
/// undefined), and then its parts are. The result has the network's names; its
/// tensors are copies, all of them, without a graph.
///
/// Throws: `c10::ValueError` for names that are unexpected, or a tensor of
/// another shape, with both sides.
GATEDPATHS_EXPORT StateDict
split_slots(const torch::nn::Module& net, const StateDict& dense);
/// \overload
template <detail::NetworkHandle Net>
StateDict split_slots(const Net& net, const StateDict& dense) {
  return split_slots(NetworkRef(net).module("split_slots"), dense);
}

}  // namespace gatedpaths
