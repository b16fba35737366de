// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/network_ref.hpp>
#include <gatedpaths/export.hpp>
#include <gatedpaths/gates/draw_state.hpp>

#include <torch/serialize/archive.h>

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace gatedpaths {

/// Where everything stands that draws in a training run: the modules of a
/// network (`draw_states`), and what is added beside them by name, a sampler
/// say. To be saved beside the weights, so that a run goes on exactly.
///
/// These are values; they know no module. Seeds and steps survive the
/// archive bit for bit.
///
/// Example:
/// ```
/// gatedpaths::DrawStates states = gatedpaths::draw_states(net);
/// states.add("sampler", sampler.state());
/// torch::serialize::OutputArchive archive;
/// states.save(archive);
/// gatedpaths::save_atomically("draws.pt", archive);
/// ...
/// torch::serialize::InputArchive saved;
/// saved.load_from("draws.pt");
/// gatedpaths::DrawStates states;
/// states.load(saved);
/// gatedpaths::set_draw_states(net, states);
/// sampler.set_state(states.at("sampler"));
/// ```
class GATEDPATHS_EXPORT DrawStates {
 public:
  /// What a state belongs to.
  struct Key {
    /// The module's dotted name, `"."` for the root; or what it was added as.
    std::string name;
    /// `"gate"`, `"capacity"`, `"head"` or what a `Drawer` of yours says; empty
    /// for what is no part of a network.
    std::string kind;

    auto operator<=>(const Key&) const = default;
  };

  /// Adds a state. The default kind is that of what stands beside a network,
  /// which `set_draw_states` leaves alone.
  ///
  /// Throws: `c10::ValueError` for a second one of a name and kind.
  void add(
      std::string_view name,
      const DrawState& state,
      std::string_view kind = "");

  /// The state of this name and kind.
  ///
  /// Throws: `c10::IndexError`, with what there is, where there is none.
  const DrawState& at(std::string_view name, std::string_view kind = "") const&;
  /// \overload
  DrawState at(std::string_view name, std::string_view kind = "") const&& {
    return at(name, kind);
  }

  /// All states, ordered by name and kind.
  const std::map<Key, DrawState>& entries() const& noexcept { return entries_; }
  /// \overload
  std::map<Key, DrawState> entries() const&& { return entries_; }

  /// Writes all of it. The archive may hold more.
  void save(torch::serialize::OutputArchive& archive) const;

  /// Becomes what `save` wrote. Where an archive was saved without the sources
  /// of the states, they are not known.
  ///
  /// Throws: `c10::ValueError` where the archive holds no states, or not whole
  /// ones. The states are then as they were.
  void load(torch::serialize::InputArchive& archive);

  bool operator==(const DrawStates&) const = default;

 private:
  std::map<Key, DrawState> entries_;
};

/// Where everything in a network stands that draws by itself now: gates
/// (`GatedModule::draw_state`; `LayerDrop` and `StochasticDepth` are some), the
/// capacities of gates for each sample (`SampleGatedModule::capacity_state`),
/// each `GateHead`, and every `Drawer` of yours; those inside branches too. A
/// module that is held several times is in it once, by its first name in
/// registration order. Empty for a network in which nothing draws.
///
/// Throws: `c10::ValueError` for an empty holder or null pointer.
///
/// Example: see `DrawStates`.
GATEDPATHS_EXPORT DrawStates draw_states(const NetworkRef& root);

/// Lets everything in the network go on from these states, as `draw_states`
/// gave them for a network that was built alike and draws in the same places
/// (`draw_each_forward` called for the same gates, in any order). What was
/// added by hand is left alone.
///
/// Throws: `c10::ValueError` for an empty holder or null pointer, and one that
/// lists every difference where something is missing, unexpected or of another
/// kind, e.g. `set_draw_states: 'blocks.0': expected gate, got head; missing
/// 'blocks.1' (gate, capacity); unexpected 'head' (head)`. Nothing has changed
/// then.
///
/// Example: see `DrawStates`.
GATEDPATHS_EXPORT void set_draw_states(
    const NetworkRef& root, const DrawStates& states);

/// Gives everything in the network that draws by itself (see `draw_states`) a
/// stream of its own, from its start: a function of the seed, the kind and the
/// module's dotted name alone, the same in every process. So one seed stands
/// for all draws of a network, in whatever order its modules were made, and no
/// two of them draw alike, not even copies of one module (a `clone()` goes on
/// with the draws of its original).
///
/// To be called once, after the network was built and each `draw_each_forward`,
/// before the first training forward. Names are those below `root`, as in its
/// checkpoint. Processes that are to draw differently, the ranks of a job say,
/// give different seeds: `stream_seed(seed, std::to_string(rank))`.
///
/// Throws: `c10::ValueError` for an empty holder or null pointer.
///
/// Example:
/// ```
/// Net net;
/// gatedpaths::seed_draws(net, options.seed);
/// gatedpaths::UniformSampler sampler(space, options.seed);  // another stream
/// ```
GATEDPATHS_EXPORT void seed_draws(const NetworkRef& root, uint64_t seed);

}  // namespace gatedpaths
