// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/map_tensors.hpp>
#include <gatedpaths/branches/detail/output_structure.hpp>
#include <gatedpaths/branches/network_ref.hpp>
#include <gatedpaths/export.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/paths/space_layout.hpp>
#include <gatedpaths/search/cost_options.hpp>
#include <gatedpaths/search/path_cost.hpp>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace gatedpaths {
namespace detail {

struct CostTable;
class PathMeter;

/// A network with what it is to be run on.
struct NetworkRun {
  /// Makes new copies of the inputs, which a forward may write to.
  std::function<std::vector<at::Tensor>()> renew;
  std::function<std::vector<at::Tensor>()> forward;  ///< Gives the outputs.
};

}  // namespace detail

/// What each path of a space costs, as a sum of parts: what stands outside of
/// all gates, and each open branch of each gate that is reached.
///
/// A path stands for the net that its open branches make. What is closed costs
/// nothing, also where it runs without a graph (`Skip::kNoGrad`); of a layer on
/// slots the open slots count. A parameter that is held in several places
/// counts once.
///
/// The parts are found by running each branch once, on few paths and not on
/// all. Where costs are no such sum (a gate costs something else behind a
/// branch with more channels, two branches share a weight, a tensor is kept for
/// backward by the layer before and by the one after), the model finds that
/// out, on the paths that it ran and on some more (`CostOptions::
/// checked_paths`): `is_additive` says so, and `of` measures such costs on the
/// path itself, once each. What differs on paths that were not run alone is not
/// found out.
///
/// Not thread-safe where costs are measured by path, as the network is not. A
/// copy is cheap, and shares the table.
///
/// Example:
/// ```
/// gatedpaths::PathSpace space(net);
/// auto cost = gatedpaths::CostModel::measure(
///     net, space, torch::zeros({1, 3, 32, 32}));
/// cost.of(space.current()).macs;
/// cost.branch(/*gate=*/0, /*branch=*/2).parameters;
/// ```
class GATEDPATHS_EXPORT CostModel {
 public:
  /// Measures `net`, the network of the space, on `example_inputs`: the tensor
  /// or the tuple of arguments that its `forward` takes. All costs are for
  /// these, batch included. Operations, parameters and latency are those in
  /// eval mode; activations those in training mode, where gates that are not of
  /// the space run what is applied to them, as in eval.
  ///
  /// It leaves no trace in the network. A network by reference has to outlive
  /// the model where costs are measured by path; one by a holder or pointer is
  /// kept alive.
  ///
  /// Throws: `c10::ValueError` for an empty holder, a network without the
  /// gates of the space, inputs that a path does not take, or options that are
  /// negative.
  template <class Net, class... Inputs>
  static CostModel measure(
      Net&& net,
      const PathSpace& space,
      const std::tuple<Inputs...>& example_inputs,
      const CostOptions& options = {}) {
    return measure_network(
        NetworkRef(net), space, make_run(net, example_inputs), options);
  }
  /// \overload
  template <class Net>
  static CostModel measure(
      Net&& net,
      const PathSpace& space,
      const at::Tensor& example_input,
      const CostOptions& options = {}) {
    return measure(
        std::forward<Net>(net), space, std::make_tuple(example_input), options);
  }

  /// A model of costs that are known: outside of all gates, and for each branch
  /// of each gate of the space.
  ///
  /// Throws: `c10::ValueError` for a null `layout`, another number of gates or
  /// branches, a cost that is not finite, or costs of 2^63 and more in all
  /// branches together.
  CostModel(
      std::shared_ptr<const SpaceLayout> layout,
      const PathCost& outside,
      std::vector<std::vector<PathCost>> branches);

  /// What the path costs, in time in what it reaches.
  ///
  /// Throws: `c10::ValueError` for a path of another space; `c10::Error` where
  /// a cost is measured by path and the model, which was read, has no network.
  PathCost of(const Path& path) const;

  /// What stands outside of all gates.
  const PathCost& outside() const& noexcept;

  /// What opening a branch adds to a path that reaches its gate, without what
  /// gates inside of it add.
  ///
  /// Throws: `c10::IndexError` where there is no such gate or branch.
  const PathCost& branch(int64_t gate, int64_t branch) const&;

  /// Whether costs of this kind were measured; those that were not are 0.
  bool has(CostKind kind) const noexcept;

  /// Whether costs of this kind are the sum of the parts, as far as was seen.
  bool is_additive(CostKind kind) const noexcept;

  /// Where they are not, and what was seen there; empty where all are.
  const std::string& why_not_additive() const& noexcept;

  /// The operators that were run and that nothing is known of, by name, with
  /// the number of calls: their operations are missing.
  const std::map<std::string, int64_t>& unknown_operators() const& noexcept;

  /// The name of the convention of `kFlops`.
  const std::string& convention() const& noexcept;

  /// The device that was measured on, e.g. `"cpu"`.
  const std::string& device() const& noexcept;

  /// The structure of the space.
  const std::shared_ptr<const SpaceLayout>& layout() const& noexcept {
    return layout_;
  }

  /// The table as JSON, with the hash and the names of the space, for a file.
  std::string to_json() const;

  /// Reads what `to_json` wrote, here or on another machine. It has no network:
  /// of what is measured by path, it knows the paths that were.
  ///
  /// Throws: `c10::ValueError` for a null `layout`, a text that is no such
  /// table, one of another space, or costs that the constructor refuses.
  static CostModel from_json(
      std::shared_ptr<const SpaceLayout> layout, std::string_view text);

 private:
  CostModel(
      std::shared_ptr<const SpaceLayout> layout,
      std::shared_ptr<const detail::CostTable> table,
      std::shared_ptr<detail::PathMeter> meter);

  static CostModel measure_network(
      const NetworkRef& net,
      const PathSpace& space,
      detail::NetworkRun run,
      const CostOptions& options);

  template <class Net, class Inputs>
  static detail::NetworkRun make_run(Net& net, const Inputs& example_inputs) {
    const auto inputs = std::make_shared<Inputs>();
    detail::NetworkRun run;
    run.renew = [inputs, example_inputs] {
      std::vector<at::Tensor> copies;
      *inputs = detail::map_tensors(example_inputs, [&](const auto& tensor) {
        return copies.emplace_back(tensor.clone());
      });
      return copies;
    };
    const auto call = [inputs](auto& module) {
      const auto flat = detail::flatten_output(std::apply(
          [&](const auto&... input) { return module.forward(input...); },
          *inputs));
      return std::vector<at::Tensor>(flat.tensors.begin(), flat.tensors.end());
    };
    if constexpr (detail::NetworkHandle<Net>) {
      // One that is empty is refused before it is called.
      run.forward = [net = std::remove_cv_t<Net>(net), call]() mutable {
        return call(*net);
      };
    } else {
      run.forward = [&net, call] { return call(net); };
    }
    return run;
  }

  std::shared_ptr<const SpaceLayout> layout_;
  std::shared_ptr<const detail::CostTable> table_;
  std::shared_ptr<detail::PathMeter> meter_;  // null where it was read
};

}  // namespace gatedpaths
