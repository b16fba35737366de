// SPDX-License-Identifier: MIT
// clone() where a module below a gate cannot be copied as what it is.
#include <gatedpaths/depth/layer_drop.hpp>
#include <gatedpaths/depth/stochastic_depth.hpp>
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>
#include <gatedpaths/learning/path_logits.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/slots/slot_map.hpp>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/snapshot.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;
using gatedpaths::AnyBranch;
using gatedpaths::ChoiceBlock;
using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::GatedBranch;
using gatedpaths::GatedBranchImpl;
using gatedpaths::LayerDrop;
using gatedpaths::LayerDropOptions;
using gatedpaths::PathLogits;
using gatedpaths::PathSpace;
using gatedpaths::SlotMap;
using gatedpaths::StochasticDepth;
using gatedpaths::StochasticDepthOptions;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::copies_of;
using gatedpaths::test::message_of;
using torch::nn::Linear;
using torch::nn::LinearImpl;
using torch::nn::Module;
using torch::nn::Sequential;

namespace {

// Inherits the clone() of LinearImpl, which makes a LinearImpl.
struct ClonelessImpl : LinearImpl {
  using LinearImpl::LinearImpl;
};
TORCH_MODULE(Cloneless);

struct NullCloneImpl : Module {
  std::shared_ptr<Module> clone(
      const std::optional<torch::Device>& /*device*/) const override {
    return nullptr;
  }
  torch::Tensor forward(const torch::Tensor& x) { return x; }
};
TORCH_MODULE(NullClone);

// reset() makes the module anew, so that its clone() is not asked for it.
struct HoldsClonelessImpl : torch::nn::Cloneable<HoldsClonelessImpl> {
  HoldsClonelessImpl() { reset(); }
  void reset() override { linear = register_module("linear", Cloneless(4, 4)); }
  torch::Tensor forward(const torch::Tensor& x) { return linear->forward(x); }

  Cloneless linear = nullptr;
};
TORCH_MODULE(HoldsCloneless);

// A module of every kind that copies what it holds.
template <class Child>
std::vector<std::pair<std::string, std::shared_ptr<Module>>> holders_of(
    const Child& child) {
  const AnyBranch branch(child);
  return {
      {"GatedBranch", GatedBranch(child).ptr()},
      {"ChoiceBlock",
       ChoiceBlock<>({{"a", Linear(4, 4)}, {"b", branch}}).ptr()},
      {"ConcatGate", ConcatGate<>(ConcatGateOptions(1), {{"a", branch}}).ptr()},
      {"StochasticDepth",
       StochasticDepth<>(branch, StochasticDepthOptions(0.5)).ptr()},
      {"LayerDrop", LayerDrop<>(LayerDropOptions(0.5), {{"a", branch}}).ptr()},
      {"SlotMap", SlotMap(child).ptr()},
      {"in a gate", GatedBranch(ChoiceBlock<>({{"a", branch}})).ptr()},
      {"in a gate in a Sequential in a gate",
       GatedBranch(Sequential(Linear(4, 4), GatedBranch(child))).ptr()}};
}

template <class Child>
void check_refused(const Child& child, const std::string& got) {
  for (const auto& [name, holder] : holders_of(child)) {
    for (const bool training : {true, false}) {
      CAPTURE(name, training);
      holder->train(training);
      const auto before = copies_of(holder->parameters());
      const auto message =
          message_of<c10::TypeError>([&holder = holder] { holder->clone(); });
      CHECK_THAT(message, StartsWith("clone: expected a "));
      CHECK_THAT(
          message, EndsWith(got + "; give the class a clone() of its own"));
      CHECK(all_bit_equal(holder->parameters(), before));
    }
  }
}

}  // namespace

TEST_CASE(
    "Clone: a child with another class's clone is an error", "[clone][error]") {
  check_refused(Cloneless(4, 4), "ClonelessImpl, got a torch::nn::LinearImpl");
  // A Sequential holds nothing where the clone is of another type.
  check_refused(Sequential(Cloneless(4, 4)), "ClonelessImpl, got none");
  check_refused(
      Sequential(Linear(4, 4), Cloneless(4, 4)), "ClonelessImpl, got none");

  // A holder of the base class would take the copy for what it is not.
  const std::shared_ptr<LinearImpl> base = Cloneless(4, 4).ptr();
  GatedBranch branch(base);
  CHECK_THAT(
      message_of<c10::TypeError>([&] { branch->clone(); }),
      ContainsSubstring("ClonelessImpl, got a torch::nn::LinearImpl"));
}

TEST_CASE("Clone: a child without a copy is an error", "[clone][error]") {
  check_refused(NullClone(), "NullCloneImpl, got none");
}

TEST_CASE("Clone: a child that a parent makes anew is none", "[clone]") {
  GatedBranch branch{HoldsCloneless()};
  const auto copy = std::dynamic_pointer_cast<GatedBranchImpl<HoldsCloneless>>(
      branch->clone());
  REQUIRE(copy != nullptr);
  REQUIRE(copy->child().ptr() != nullptr);
  CHECK(copy->child()->linear.ptr() != branch->child()->linear.ptr());
  CHECK(all_bit_equal(copy->parameters(), branch->parameters()));
  for (const auto& [name, holder] : holders_of(HoldsCloneless())) {
    CAPTURE(name);
    CHECK(
        holder->clone()->named_parameters().keys() ==
        holder->named_parameters().keys());
  }
}

namespace {

// Registers a module under a name, which the caller then replaces.
template <class Part>
struct ReplacedImpl : torch::nn::Cloneable<ReplacedImpl<Part>> {
  explicit ReplacedImpl(Part made) : part(std::move(made)) { reset(); }
  void reset() override { this->register_module("part", part); }

  Part part;
};

template <class Part>
std::string message_of_replaced(const Part& part) {
  const auto net = std::make_shared<ReplacedImpl<Part>>(part);
  net->replace_module("part", Linear(4, 4));
  return message_of<c10::TypeError>([&] { net->clone(); });
}

}  // namespace

TEST_CASE(
    "Clone: what is not of the type that reset() registers is an error",
    "[clone][error]") {
  const auto refused =
      EndsWith(", as reset() registers, got a torch::nn::LinearImpl");
  CHECK_THAT(message_of_replaced(GatedBranch(Linear(4, 4))), refused);
  CHECK_THAT(
      message_of_replaced(ChoiceBlock(Linear(4, 4), Linear(4, 4))), refused);
  CHECK_THAT(message_of_replaced(SlotMap(torch::nn::ReLU())), refused);
  CHECK_THAT(
      message_of_replaced(
          PathLogits(PathSpace(ChoiceBlock(Linear(4, 4), Linear(4, 4))))),
      refused);
}
