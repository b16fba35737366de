// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/restorable.hpp>
#include <gatedpaths/export.hpp>
#include <gatedpaths/slots/slots.hpp>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace gatedpaths {

/// How one tensor of a dense layer is cut into tensors of its slot form.
struct SlotSplit {
  std::string dense_name;               ///< e.g. `"weight"`.
  std::vector<std::string> slot_names;  ///< e.g. `"weight_0"`, ...; one a slot.
  int64_t dim = 0;                      ///< The dim that is cut.
  std::vector<int64_t> sizes;           ///< The length of each slot's part.
  bool whole = false;                   ///< Each slot has a copy, uncut.
};

/// The interface of every layer that takes `Slots`: it has parameters for each
/// slot, and touches only those of the slots that hold a value. What it returns
/// has memory of its own, see `GatedModule`.
///
/// `OpenOptimizer` asks it which slots were used; `slots_from_dense` and
/// `slots_to_dense` ask it how a dense checkpoint is cut.
class GATEDPATHS_EXPORT SlotConsumer : public virtual detail::Restorable {
 public:
  /// The number of slots.
  virtual int64_t num_slots() const noexcept = 0;

  /// The parameters that belong to slot `index` alone.
  virtual std::vector<at::Tensor> slot_parameters(int64_t index) const = 0;

  /// How each tensor of the dense layer is cut; tensors that are not named are
  /// the same in both forms.
  virtual std::vector<SlotSplit> slot_splits() const = 0;

  /// The slots that were used since `forget_used()`, in order of first use.
  c10::IntArrayRef used_slots() const noexcept { return used_; }

  /// Forgets which slots were used. Takes time in their number.
  void forget_used() noexcept;

  /// Drops the slots that are not among `kept` (ascending) for good, with their
  /// parameters, as `derive` does in its copy of a network. The others are the
  /// slots 0, 1, ... from then on; with none the layer gives what it gives
  /// where no slot holds a value.
  ///
  /// Throws: `c10::IndexError` for a slot outside `[0, num_slots())`;
  /// `c10::ValueError` where `kept` is not ascending;
  /// `c10::NotImplementedError` for a class that does not override
  /// `drop_slots`. Nothing has changed then.
  void keep_slots(c10::IntArrayRef kept);

 protected:
  SlotConsumer() = default;
  SlotConsumer(const SlotConsumer&) = default;
  SlotConsumer(SlotConsumer&&) = default;
  SlotConsumer& operator=(const SlotConsumer&) = default;
  SlotConsumer& operator=(SlotConsumer&&) = default;

  /// To be called by each forward, with the slots that it gives a gradient.
  void use(c10::IntArrayRef positions);
  /// The same for all slots.
  void use_all();

  /// To be called by each forward: remembers whose slots these are, so that
  /// `derive` knows which of them a path leaves open.
  void take(const Slots& slots) {
    if (last_taken_.owner_before(slots.branches_) ||
        slots.branches_.owner_before(last_taken_)) {
      remember_taken(slots.branches_);
    }
  }

  /// To be overridden: drops all slots but those at `kept`, ascending, with
  /// what is registered for them. Called where there is something to drop.
  virtual void drop_slots(c10::IntArrayRef kept);

  /// Keeps which slots were used.
  std::unique_ptr<detail::KeptState> keep() override;

 private:
  friend class BranchedModule;
  struct KeptUse;

  void remember_taken(const std::shared_ptr<detail::BranchList>& branches);
  bool took_from(const std::shared_ptr<detail::BranchList>& branches) const;

  std::vector<int64_t> used_;
  std::vector<bool> is_used_;
  std::vector<std::weak_ptr<const detail::BranchList>> taken_;  // gates'
  std::weak_ptr<const detail::BranchList> last_taken_;
};

}  // namespace gatedpaths
