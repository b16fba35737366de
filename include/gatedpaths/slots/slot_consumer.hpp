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

  /// Keeps which slots were used.
  std::unique_ptr<detail::KeptState> keep() override;

 private:
  struct KeptUse;

  std::vector<int64_t> used_;
  std::vector<bool> is_used_;
};

}  // namespace gatedpaths
