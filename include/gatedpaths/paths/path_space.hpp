// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/network_ref.hpp>
#include <gatedpaths/export.hpp>
#include <gatedpaths/gates/gated_module.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/space_layout.hpp>

#include <torch/nn/module.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace gatedpaths {

/// Says which gates of a network a `PathSpace` takes: gets the name of a gate
/// in the tree, and the gate.
using GateFilter =
    std::function<bool(std::string_view name, const GatedModule& gate)>;

/// All paths that a network can take. In architecture search: a supernet's
/// search space.
///
/// It finds the `GatedModule`s in a module tree, depth first in registration
/// order, those inside branches included, and numbers them: a gate's number is
/// above those of the gates that it lies in. A gate is called by the dotted
/// path of its module (`"blocks.3.choice"`), the root itself by `"."`.
///
/// Gates that draw by themselves when the space is made are no choices of a
/// search, and left out: `StochasticDepth`, `LayerDrop`, and others after
/// `draw_each_forward` (`GatedModule::is_choice`). A `GateFilter` says
/// otherwise. It takes one, too, to leave out gates that are only ever given
/// for each sample (`forward(x, open)`): no applied path has an effect on
/// those. A gate that is left out counts as a module like any other: what is
/// inside its branches is reached where it is.
///
/// What a gated module registers beside its branches (a head, say) is not
/// inside a branch. A module that the tree holds several times is one gate with
/// several places: it is reached where any of them is.
///
/// The space keeps the gates alive that shared pointers own; a network on the
/// stack has to outlive it. It sees the tree as it was: make a new space after
/// replacing modules.
///
/// Example:
/// ```
/// gatedpaths::PathSpace space(net);
/// gatedpaths::UniformSampler sampler(space, /*seed=*/7);
/// for (auto& batch : *loader) {
///   space.apply(sampler.next());
///   ...
/// }
/// std::cout << space.to_string(space.current());  // stem=conv3x3;cell.op=a+b
/// ```
class GATEDPATHS_EXPORT PathSpace {
 public:
  /// The space of the network under `root`, which may stand on the stack:
  /// `PathSpace space(net)`. It takes the gates that are choices
  /// (`GatedModule::is_choice`).
  ///
  /// Throws: `c10::ValueError` for an empty holder or null pointer.
  explicit PathSpace(const NetworkRef& root);

  /// The same, of the gates for which `takes` is true, whether they draw by
  /// themselves or not. It is asked once for each gate. A path sets what a gate
  /// that draws runs in eval; in training it goes on drawing.
  ///
  /// Throws: `c10::ValueError` for an empty holder or null pointer, or an empty
  /// `takes`.
  ///
  /// Example, a search over the layers that a `LayerDrop` keeps in eval:
  /// ```
  /// gatedpaths::PathSpace pruned(
  ///     net, [](std::string_view name, const gatedpaths::GatedModule&) {
  ///       return name == "encoder.layers";
  ///     });
  /// ```
  PathSpace(const NetworkRef& root, const GateFilter& takes);

  /// The number of gates in the space, whether reached or not.
  int64_t num_gates() const noexcept { return layout_->num_gates(); }

  /// The name of the gate of this number.
  ///
  /// Throws: `c10::IndexError` where there is none.
  const std::string& gate_name(int64_t index) const& {
    return layout_->gate(index).name;
  }
  /// \overload
  std::string gate_name(int64_t index) const&& { return gate_name(index); }

  /// The number of the gate of this name.
  ///
  /// Throws: `c10::IndexError`, with the names, where there is none.
  int64_t gate_index(std::string_view name) const {
    return layout_->gate_index(name);
  }

  /// The gate of this number in the network.
  ///
  /// Throws: `c10::IndexError` where there is none.
  GatedModule& gate(int64_t index) const;

  /// The gate of this name in the network.
  ///
  /// Throws: `c10::IndexError`, with the names, where there is none.
  GatedModule& gate(std::string_view name) const {
    return gate(gate_index(name));
  }

  /// How many different paths there are. A gate contributes the number of its
  /// allowed open sets, each of them as often as what is inside its open
  /// branches can be set; gates beside each other multiply. 1 without a gate.
  ///
  /// Throws: `c10::ValueError` where the number needs more than 64 bits (see
  /// `log2_size`), or where a gate has several places: the product form does
  /// not hold for such a space. All else works for it.
  uint64_t size() const { return layout_->size(); }

  /// The logarithm of `size()` to the base 2, for spaces of any size. The
  /// relative error is of the order 1e-13.
  ///
  /// Throws: `c10::ValueError` where a gate has several places.
  double log2_size() const { return layout_->log2_size(); }

  /// The path number `index`, `0 <= index < size()`; each path has one number.
  ///
  /// The order is that of nested loops, the first gate's being the outermost. A
  /// gate's loop goes through the sizes of the open set, ascending, and for
  /// each size through the branches: those sets first that open branch 0, in
  /// the order of what is inside it, and within that by branch 1, and so on.
  /// Gates without anything inside go through sets in lexicographic order: {0},
  /// {1}, {2}, {0, 1}, {0, 2}, {1, 2}.
  ///
  /// Throws: `c10::IndexError` for an index of `size()` or above, and as
  /// `size`.
  Path at(uint64_t index) const { return layout_->at(index); }

  /// Sets the gates of the network that the path reaches. The others stay as
  /// they are: they have no effect on the network's output. Takes time in the
  /// number of reached gates and open branches. A gate that draws by itself
  /// (one that was asked for, or does so since the space was made) draws again
  /// at the next training forward.
  ///
  /// Throws: `c10::ValueError` for a path of another space; nothing has changed
  /// then.
  void apply(const Path& path) const;

  /// The path that the gates of the network are set to now.
  Path current() const;

  /// What each gate's last run ran (see `GatedModule::ran_branches`), of those
  /// that lie in branches that ran: where a gate runs several times in one
  /// forward of the network, the last of them alone. It may be outside of the
  /// gates' bounds and belongs to no space: it can be looked at, not applied.
  /// Of a gate that lies in what a left out gate did not run, a dropped layer
  /// say, nothing ran.
  Path ran() const;

  /// The path as text: `gate=branch+branch;gate=branch`, in the order of the
  /// gates and branches, with nothing after the `=` where no branch is open. A
  /// backslash stands before each `\`, `;`, `=` and `+` of a name. The text
  /// stays valid as long as names, bounds and nesting do.
  ///
  /// Throws: `c10::ValueError` for a path of another space.
  std::string to_string(const Path& path) const {
    return layout_->to_string(path);
  }

  /// The path that a text stands for, gates and branches in any order:
  /// `parse(to_string(path)) == path`.
  ///
  /// Throws: `c10::IndexError` for a gate or branch that does not exist;
  /// `c10::ValueError` for a gate that is missing, or given twice, or that lies
  /// in closed branches only, for a number of branches that the gate does not
  /// allow, a branch given twice, and for a text of another form.
  Path parse(std::string_view text) const { return layout_->parse(text); }

  /// A hash of names, bounds and nesting (FNV-1a, 64 bits), the same in every
  /// process and on every machine. Networks that are built alike have equal
  /// spaces, so a path of the one can be applied to the other.
  uint64_t hash() const noexcept { return layout_->hash(); }

  /// The structure alone; it outlives the space and the network.
  const std::shared_ptr<const SpaceLayout>& layout() const& noexcept {
    return layout_;
  }
  /// \overload
  std::shared_ptr<const SpaceLayout> layout() const&& { return layout_; }
  /// The same, for what takes a structure: a sampler takes either.
  operator std::shared_ptr<const SpaceLayout>() const noexcept {  // NOLINT
    return layout_;
  }

  /// Whether the structure is the same: a path of one is then a path of the
  /// other.
  bool operator==(const PathSpace& other) const {
    return *layout_ == *other.layout_;
  }

 private:
  std::shared_ptr<const SpaceLayout> layout_;
  std::vector<GatedModule*> gates_;
  std::vector<std::shared_ptr<torch::nn::Module>> owners_;
  // Where gates are left out: the space of all, and each gate's number there.
  std::shared_ptr<const PathSpace> whole_;
  std::vector<int64_t> whole_numbers_;
};

}  // namespace gatedpaths
