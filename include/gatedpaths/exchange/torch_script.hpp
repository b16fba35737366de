// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/child.hpp>
#include <gatedpaths/branches/network_ref.hpp>
#include <gatedpaths/exchange/derive.hpp>
#include <gatedpaths/export.hpp>

#include <ATen/core/ivalue.h>
#include <c10/util/FunctionRef.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstddef>
#include <filesystem>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace gatedpaths {
namespace detail {

/// What a network is called with: one argument, or a tuple of several.
using ScriptInputs = std::vector<at::IValue>;

using ScriptForward = c10::function_ref<at::IValue(const ScriptInputs&)>;

GATEDPATHS_EXPORT void export_traced(
    torch::nn::Module& net,
    ScriptForward forward,
    const std::vector<ScriptInputs>& examples,
    const std::filesystem::path& file);

template <class... A>
ScriptInputs script_inputs(const std::tuple<A...>& inputs) {
  return std::apply(
      [](const auto&... each) { return ScriptInputs{at::IValue(each)...}; },
      inputs);
}
inline ScriptInputs script_inputs(const torch::Tensor& input) {
  return {at::IValue(input)};
}

template <class Example>
struct ScriptArguments {
  using type = std::tuple<Example>;
};
template <class... A>
struct ScriptArguments<std::tuple<A...>> {
  using type = std::tuple<A...>;
};

template <class Impl, class... A>
at::IValue call_with(
    Impl& net, const ScriptInputs& inputs, std::tuple<A...>* /*types*/) {
  return [&]<size_t... I>(std::index_sequence<I...>) {
    return at::IValue(net.forward(inputs[I].to<std::remove_cvref_t<A>>()...));
  }(std::index_sequence_for<A...>());
}

}  // namespace detail

/// Writes a network as TorchScript, which `torch.jit.load` in Python runs, on a
/// machine that has PyTorch and nothing of this library.
///
/// The network is traced: run once on `example`, while LibTorch notes the
/// operations. `example` is what `forward` takes: a tensor, or a `std::tuple`
/// of several arguments. Parameters and buffers keep their names, so that
/// `state_dict()` there has those of the network here; both can be trained
/// further there in eval mode.
///
/// A trace has no `if` and no sizes: what the network's own code decided by
/// values or sizes stays as it was for `example`. So the trace is run against
/// the network on `example`, on its negative where that is of floating point
/// and the network takes it, and on each of `checks`: give inputs of other
/// batch sizes there, where such are to come. (The gates themselves fit any
/// batch: the zeros in a dense concatenation follow the open branches. With
/// none open they do not.)
///
/// The file is written as `save_atomically` does.
///
/// Shape: as the network's `forward`, which may return a tensor, or tuples and
/// vectors of tensors.
///
/// Throws: `c10::ValueError` for an empty holder, a network in training, and
/// one whose trace gives something else than the network (another shape or
/// dtype, or values further apart than 1e-6 and 1e-5 of their size), with both
/// sides: one that decides by values, draws in eval, or changes with each run;
/// `c10::Error` for what LibTorch cannot trace, as tensors that require a
/// gradient and are not registered. There is no new file then.
///
/// Example:
/// ```
/// net->eval();
/// gatedpaths::export_torch_script(net, torch::zeros({1, 3, 32, 32}),
/// "net.pt");
/// // Python: torch.jit.load("net.pt")(images)
/// ```
template <detail::NetworkHandle Net, class Example>
void export_torch_script(
    const Net& net,
    const Example& example,
    const std::filesystem::path& file,
    const std::vector<Example>& checks = {}) {
  auto& module = NetworkRef(net).module("export_torch_script");
  const auto typed = detail::child_ptr(net);
  std::vector<detail::ScriptInputs> examples = {detail::script_inputs(example)};
  for (const Example& check : checks) {
    examples.push_back(detail::script_inputs(check));
  }
  using Arguments = typename detail::ScriptArguments<Example>::type;
  detail::export_traced(
      module,
      [&](const detail::ScriptInputs& inputs) {
        return detail::call_with(
            *typed, inputs, static_cast<Arguments*>(nullptr));
      },
      examples,
      file);
}

/// Writes the network of one path as TorchScript: `derive`, in eval mode, and
/// `export_torch_script`. `net` is as it was.
///
/// Throws: as these two.
///
/// Example:
/// ```
/// gatedpaths::export_path(
///     supernet, path, torch::zeros({1, 3, 32, 32}), "net.pt");
/// ```
template <detail::NetworkHandle Net, class Example>
void export_path(
    const Net& net,
    const PathSpace& space,
    const Path& path,
    const Example& example,
    const std::filesystem::path& file,
    const std::vector<Example>& checks = {}) {
  auto derived = derive(net, space, path);
  derived->eval();
  export_torch_script(derived, example, file, checks);
}
/// \overload
template <detail::NetworkHandle Net, class Example>
void export_path(
    const Net& net,
    const Path& path,
    const Example& example,
    const std::filesystem::path& file,
    const std::vector<Example>& checks = {}) {
  NetworkRef(net).module("export_path");  // throws for an empty holder
  export_path(net, PathSpace(net), path, example, file, checks);
}

}  // namespace gatedpaths
