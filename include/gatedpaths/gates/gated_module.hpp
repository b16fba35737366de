// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/restorable.hpp>
#include <gatedpaths/export.hpp>
#include <gatedpaths/gates/draw_state.hpp>

#include <c10/util/SmallVector.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gatedpaths {

/// The interface of everything with gates: `GatedBranch`, `ChoiceBlock`,
/// `ConcatGate`, and any module of yours that derives from it.
///
/// It knows the names of the branches, how many of them may be open, which are
/// open, and it changes that. A `PathSpace` finds the `GatedModule`s of a
/// module tree. It owns no tensor; deriving classes own the branches.
///
/// Two kinds of setting exist. What was *applied* (`set_open`, or a
/// `PathSpace`) holds until something else is applied. What was *drawn* by the
/// module itself (`draw_each_forward`) holds for one training forward. In eval
/// mode nothing is drawn and the setting that was last applied holds.
///
/// What the gates and the layers on slots make has memory of its own, so that
/// an in-place op on it changes nothing else: zeros, sums, concatenations, a
/// bias alone, a closed branch's detached output. An open branch's output that
/// nothing is added to is passed on as the very tensor that came, also in
/// `Slots`; but never one in the memory of the gate's input. Such a one, as an
/// identity returns it, is copied, and so is the input where nothing runs: what
/// follows may work in place, whichever branches are open or dropped.
///
/// A branch may change its input in place where nothing reads that again: the
/// last one that runs on it may (they run in the order of their indices, under
/// `Skip::kNoGrad` the closed ones too; the active one of a `BranchWeighting`
/// after the other), and one that runs on some samples only, since these are
/// copies. In every other place `forward` throws a `c10::ValueError`, in
/// training, eval and inference mode alike: for a branch after which another
/// one runs, a closed one, one that has all samples by gates for each sample,
/// and any in a `StochasticDepth` or `LayerDrop`. The input has changed by
/// then. It is told by the tensors' versions, so that a write through a pointer
/// is not seen.
///
/// Not thread-safe: set gates and run forwards from one thread at a time.
///
/// Example:
/// ```
/// gatedpaths::GatedModule& gate = *block;
/// gate.set_open({1});
/// gate.is_open(1);                  // true
/// gate.branch_names();              // {"conv3x3", "conv5x5"}
/// ```
class GATEDPATHS_EXPORT GatedModule : public virtual detail::Restorable,
                                      public virtual Drawer {
 public:
  /// The branches' names, in order: the keys in checkpoints and in path texts.
  const std::vector<std::string>& branch_names() const noexcept {
    return names_;
  }

  /// The number of branches.
  int64_t num_branches() const noexcept {
    return static_cast<int64_t>(names_.size());
  }

  /// The fewest branches that may be open at once.
  int64_t min_open() const noexcept { return min_open_; }

  /// The most branches that may be open at once.
  int64_t max_open() const noexcept { return max_open_; }

  /// The indices of the open branches, ascending: what the last forward drew,
  /// or what was applied since. Valid until the setting changes.
  c10::IntArrayRef open_branches() const noexcept {
    return drawn_holds_ ? drawn_ : applied_;
  }

  /// The indices of the branches that were last opened by hand, ascending: what
  /// is open in eval mode, whatever was drawn since. Valid until others are.
  c10::IntArrayRef applied_branches() const noexcept { return applied_; }

  /// The indices of the branches that the last forward ran as open, ascending:
  /// the open ones, but after a forward with gates for each sample those that
  /// had a sample. Valid until the setting changes or the next forward.
  c10::IntArrayRef ran_branches() const noexcept {
    return ran_ ? c10::IntArrayRef(*ran_) : open_branches();
  }

  /// Whether branch `index` is open.
  ///
  /// Throws: `c10::IndexError` where there is no such branch.
  bool is_open(int64_t index) const;

  /// Whether the branch called `name` is open.
  ///
  /// Throws: `c10::IndexError` where there is no such branch.
  bool is_open(std::string_view name) const;

  /// The index of the branch called `name`.
  ///
  /// Throws: `c10::IndexError`, with all names, where there is no such branch.
  int64_t branch_index(std::string_view name) const;

  /// Opens exactly the branches at `indices`, in any order, and closes the
  /// rest. Takes time in the number of open branches, not of all branches.
  ///
  /// Throws: `c10::IndexError` for an index outside `[0, num_branches())`;
  /// `c10::ValueError` for an index given twice, or a number of branches
  /// outside `[min_open(), max_open()]`. The gates are then as they were.
  void set_open(std::initializer_list<int64_t> indices);
  /// \overload
  void set_open(c10::IntArrayRef indices);
  /// Opens exactly the branches called `names`.
  ///
  /// Throws: `c10::IndexError`, with all names, for one that is not there;
  /// `c10::ValueError` for one given twice, or a number of branches outside
  /// `[min_open(), max_open()]`. The gates are then as they were.
  void set_open(c10::ArrayRef<std::string> names);

  /// From now on draws an open set by itself at the start of each training
  /// forward: uniformly among all sets that `min_open()` and `max_open()`
  /// allow. In eval mode nothing is drawn, and the setting last applied holds.
  ///
  /// The seed names the stream, together with the class: two modules of one
  /// class and seed open and close together. Without a seed it is a stream that
  /// no other module has, the same in each run that makes its modules in the
  /// same order. `seed_draws` gives all modules of a network streams of their
  /// own from one seed.
  void draw_each_forward();
  /// \overload
  void draw_each_forward(uint64_t seed);

  /// Stops drawing; the setting last applied holds.
  void stop_drawing();

  /// Where the module's own draws stand; empty where it does not draw.
  const std::optional<DrawState>& draw_state() const noexcept {
    return draw_state_;
  }

  /// Goes on drawing from a saved state (see `draw_state`).
  void set_draw_state(const DrawState& state);

  /// Whether the branches are a choice of a search, to be set by paths: what a
  /// `PathSpace` takes unless it is told otherwise. True unless the module
  /// draws by itself now; a class whose gates no path should set overrides it.
  virtual bool is_choice() const noexcept { return !draw_state_; }

  /// Drops all branches but those at `kept` (in any order) for good, as
  /// `derive` does in its copy of a network. The others keep their order and
  /// names, and are all open from then on; nothing else can be set. A gate that
  /// drew by itself no longer does, but for one that is made to
  /// (`StochasticDepth`, `LayerDrop`), which goes on drawing among what is
  /// left. With nothing kept, `num_branches()` is 0: it gives what it gives
  /// with all of its branches closed.
  ///
  /// Throws: `c10::IndexError` for an index outside `[0, num_branches())`;
  /// `c10::ValueError` for an index given twice, a number of branches that
  /// `set_open` refuses, or a gate whose result has a part of closed branches
  /// in it (`ClosedValue::kDetached`); `c10::NotImplementedError` for a class
  /// that does not override `drop_branches`. Nothing has changed then.
  void keep_only(c10::IntArrayRef kept);

  /// Throws what `keep_only` throws for `kept`, but for a class that does not
  /// override `drop_branches`. Changes nothing.
  virtual void check_kept(c10::IntArrayRef kept) const;

  /// How many branches `keep_only` has dropped so far.
  int64_t num_dropped() const noexcept { return num_dropped_; }

  /// Visits its own draws, where it draws, as of the kind "gate".
  void visit_draws(const DrawVisitor& visit) override;

  /// The module behind branch `index`; two branches may share one.
  ///
  /// Throws: `c10::IndexError` where there is no such branch.
  virtual const torch::nn::Module& branch_module(int64_t index) const = 0;

  /// The class's name in messages, e.g. `"ConcatGate"`.
  virtual std::string_view gate_kind() const noexcept = 0;

 protected:
  GatedModule() = default;
  GatedModule(const GatedModule&) = default;
  GatedModule(GatedModule&&) = default;
  GatedModule& operator=(const GatedModule&) = default;
  GatedModule& operator=(GatedModule&&) = default;

  /// Declares the branches; to be called once, by the deriving constructor.
  /// Opens the first `max_open` branches. `kind` stands in the messages, since
  /// `gate_kind()` cannot be called during construction.
  ///
  /// Throws: `c10::ValueError` for no branch at all, an empty name, a name with
  /// a dot (module trees are keyed by dotted names), one that LibTorch's
  /// archives would not give back (a word of TorchScript such as `"if"` or
  /// `"None"`, or one with a double quote, a backslash or a newline), two
  /// branches of one name, or bounds for which not `0 <= min_open <= max_open
  /// <= names.size()` and `max_open >= 1`.
  void init_gates(
      std::string_view kind,
      std::vector<std::string> names,
      int64_t min_open,
      int64_t max_open);

  /// To be called at the start of each forward: draws where that is asked for.
  void begin_forward(bool training) {
    ran_.reset();
    if (draw_state_) {
      draw(training);
    }
  }

  /// To be called by a forward that runs other branches than the open ones:
  /// those are, ascending, what `ran_branches()` gives until the next forward
  /// or setting. Nothing is drawn for such a forward.
  void begin_forward_of(c10::IntArrayRef branches) {
    ran_.emplace(branches.begin(), branches.end());
  }

  /// To be overridden: unregisters all branches but those at `kept`, ascending,
  /// which are its branches 0, 1, ... from then on. Names, bounds and what is
  /// open are changed afterwards. Called where there is something to drop.
  ///
  /// Throws where it cannot; nothing has changed then.
  virtual void drop_branches(c10::IntArrayRef kept);

  /// Whether it draws for what it is, so that it goes on doing so after
  /// `keep_only`.
  virtual bool is_drawn_by_nature() const noexcept { return false; }

  /// Keeps what forwards draw and run. A deriving class whose forwards change
  /// more keeps that, too.
  std::unique_ptr<detail::KeptState> keep() override;

  /// Throws the error for a branch that does not exist.
  void check_branch_index(std::string_view method, int64_t index) const;

 private:
  void draw(bool training);
  c10::SmallVector<int64_t, 16> checked_open(
      std::string_view method, c10::IntArrayRef indices) const;

  struct KeptDraws;

  std::vector<std::string> names_;
  int64_t min_open_ = 0;
  int64_t max_open_ = 0;
  int64_t num_dropped_ = 0;
  std::vector<int64_t> applied_;
  std::vector<int64_t> drawn_;
  bool drawn_holds_ = false;
  std::optional<std::vector<int64_t>> ran_;  // where not the open ones
  std::optional<DrawState> draw_state_;
};

}  // namespace gatedpaths
