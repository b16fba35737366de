// SPDX-License-Identifier: MIT
// One child behind each kind of gate, so that one test serves for all.
#pragma once

#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>

#include <torch/nn/modules/conv.h>
#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <ostream>
#include <string>
#include <utility>

#include "support/counting_child.hpp"

namespace gatedpaths::test {

enum class Kind { kGatedBranch, kChoiceBlock, kConcatGate, kConcatSlots };

inline std::ostream& operator<<(std::ostream& stream, Kind kind) {
  switch (kind) {
    case Kind::kGatedBranch:
      return stream << "GatedBranch";
    case Kind::kChoiceBlock:
      return stream << "ChoiceBlock";
    case Kind::kConcatGate:
      return stream << "ConcatGate::forward";
    case Kind::kConcatSlots:
      break;
  }
  return stream << "ConcatGate::forward_slots";
}

/// What all gates' options have.
struct Closed {
  Skip skip = Skip::kZeroFill;
  ClosedValue value = ClosedValue::kZeros;
  bool track_statistics = false;
  OutputShape shape = {};

  template <class Options>
  Options on(Options options) const {
    return options.skip(skip)
        .closed_value(value)
        .track_statistics(track_statistics)
        .output_shape(shape);
  }
};

/// A `CountingChild` behind a gate of some kind. All but `GatedBranch` have a
/// sibling, a plain convolution in the place before it.
class Wrapper {
 public:
  Wrapper(Kind kind, const Closed& closed)
      : child(),
        sibling(torch::nn::Conv2dOptions(3, 4, 3).padding(1)),
        kind_(kind) {
    using Branches = std::vector<NamedBranch<>>;
    const Branches branches = {{"sibling", sibling}, {"child", child}};
    switch (kind) {
      case Kind::kGatedBranch:
        branch_ =
            GatedBranch<CountingChild>(child, closed.on(GatedBranchOptions()));
        module = branch_.ptr();
        break;
      case Kind::kChoiceBlock:
        choice_ = ChoiceBlock<>(
            closed.on(ChoiceBlockOptions().min_open(0).max_open(2)), branches);
        module = choice_.ptr();
        break;
      case Kind::kConcatGate:
      case Kind::kConcatSlots:
        concat_ = ConcatGate<>(closed.on(ConcatGateOptions(1)), branches);
        module = concat_.ptr();
        break;
    }
    set_open(true);
  }

  /// Opens the child alone, or its sibling alone, or (a `GatedBranch`) nothing.
  void set_open(bool open) {
    if (kind_ == Kind::kGatedBranch) {
      branch_->set_open(open);
    } else {
      gate().set_open({open ? 1 : 0});
    }
  }
  void close_all() { gate().set_open(c10::IntArrayRef()); }

  GatedModule& gate() const { return dynamic_cast<GatedModule&>(*module); }

  /// What the gate gives; of slots, the values one after the other.
  torch::Tensor forward(const torch::Tensor& input) {
    switch (kind_) {
      case Kind::kGatedBranch:
        return branch_->forward(input);
      case Kind::kChoiceBlock:
        return choice_->forward(input);
      case Kind::kConcatGate:
        return concat_->forward(input);
      case Kind::kConcatSlots:
        break;
    }
    const Slots slots = concat_->forward_slots(input);
    return slots.values().empty()
               ? torch::Tensor()
               : torch::cat(slots.values().vec(), slots.dim());
  }

  /// The child's part in what `forward` gave; undefined where it has none.
  torch::Tensor part_of_child(const torch::Tensor& output) const {
    switch (kind_) {
      case Kind::kGatedBranch:
        return output;
      case Kind::kConcatGate:
        return output.narrow(1, 4, 4);
      case Kind::kChoiceBlock:
      case Kind::kConcatSlots:
        break;
    }
    return gate().is_open(1) && !gate().is_open(0) ? output : torch::Tensor();
  }

  /// How many probes an unknown shape costs while the child is closed, one
  /// without samples and one with some; half of it where the child has run on
  /// another batch size.
  int64_t probes() const {
    return kind_ == Kind::kGatedBranch || kind_ == Kind::kConcatGate ? 2 : 0;
  }

  CountingChild child;
  torch::nn::Conv2d sibling;
  std::shared_ptr<torch::nn::Module> module;

 private:
  Kind kind_;
  GatedBranch<CountingChild> branch_ = nullptr;
  ChoiceBlock<> choice_ = nullptr;
  ConcatGate<> concat_ = nullptr;
};

}  // namespace gatedpaths::test
