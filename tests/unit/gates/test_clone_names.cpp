// SPDX-License-Identifier: MIT
// clone() of gates over a torch::nn::Sequential whose children have names.
#include <gatedpaths/depth/layer_drop.hpp>
#include <gatedpaths/depth/stochastic_depth.hpp>
#include <gatedpaths/exchange/checkpoint.hpp>
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>
#include <gatedpaths/paths/path_space.hpp>

#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/snapshot.hpp"

using gatedpaths::ChoiceBlock;
using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::GatedBranch;
using gatedpaths::LayerDrop;
using gatedpaths::LayerDropOptions;
using gatedpaths::load_checked;
using gatedpaths::PathSpace;
using gatedpaths::StochasticDepth;
using gatedpaths::StochasticDepthOptions;
using gatedpaths::test::all_bit_equal;
using torch::nn::BatchNorm1d;
using torch::nn::Linear;
using torch::nn::Module;
using torch::nn::Sequential;

namespace {

// A Sequential in a module that LibTorch copies.
struct StemImpl : torch::nn::Cloneable<StemImpl> {
  StemImpl() { reset(); }
  void reset() override {
    layers = register_module(
        "layers", Sequential({{"fc", Linear(4, 4)}, {"norm", BatchNorm1d(4)}}));
  }
  torch::Tensor forward(const torch::Tensor& x) { return layers->forward(x); }

  Sequential layers = nullptr;
};
TORCH_MODULE(Stem);

// Names at all depths, numbers out of order among them, a gate below, a mix of
// modes and a frozen weight.
Sequential named_net() {
  torch::manual_seed(1);
  Stem stem;
  Linear frozen(4, 4);
  frozen->weight.set_requires_grad(false);
  ChoiceBlock block(
      {{"x", Sequential({{"one", Linear(4, 4)}})}, {"y", frozen}});
  Sequential body(
      {{"1", Linear(4, 4)}, {"0", BatchNorm1d(4)}, {"choice", block}});
  body->eval();
  block->train();
  stem->layers->ptr(1)->eval();
  return Sequential({{"stem", stem}, {"body", GatedBranch(body)}});
}

using NamedGate = std::pair<std::string, std::shared_ptr<Module>>;

std::vector<NamedGate> gates_of_named_net() {
  return {
      {"GatedBranch", GatedBranch(named_net()).ptr()},
      {"ChoiceBlock",
       ChoiceBlock<>({{"a", named_net()}, {"b", Linear(4, 4)}}).ptr()},
      {"ConcatGate",
       ConcatGate<>(ConcatGateOptions(1), {{"a", named_net()}}).ptr()},
      {"StochasticDepth",
       StochasticDepth(named_net(), StochasticDepthOptions(0.5)).ptr()},
      {"LayerDrop",
       LayerDrop<>(LayerDropOptions(0.5), {{"a", named_net()}}).ptr()},
      {"in a gate", GatedBranch(GatedBranch(named_net())).ptr()},
      {"in a Sequential without names",
       GatedBranch(Sequential(Linear(4, 4), GatedBranch(named_net()))).ptr()}};
}

std::vector<std::string> modes_and_grads(const Module& module) {
  std::vector<std::string> lines;
  for (const auto& part : module.named_modules()) {
    lines.push_back(part.key() + (part.value()->is_training() ? " 1" : " 0"));
  }
  for (const auto& parameter : module.named_parameters()) {
    lines.push_back(
        parameter.key() + (parameter.value().requires_grad() ? " 1" : " 0"));
  }
  for (const auto& buffer : module.named_buffers()) {
    lines.push_back(buffer.key());
  }
  return lines;
}

void load_into_original(Module& module, const Module& source) {
  torch::serialize::OutputArchive out;
  source.save(out);
  std::stringstream stream;
  out.save_to(stream);
  torch::serialize::InputArchive in;
  in.load_from(stream);
  load_checked(module, in);
}

}  // namespace

TEST_CASE("Clone: keeps the names in a Sequential", "[clone]") {
  for (const auto& [name, gate] : gates_of_named_net()) {
    CAPTURE(name);
    const auto copy = gate->clone();
    CHECK(modes_and_grads(*copy) == modes_and_grads(*gate));
    CHECK(all_bit_equal(copy->parameters(), gate->parameters()));
    CHECK(all_bit_equal(copy->buffers(), gate->buffers()));
    CHECK(PathSpace(*copy).hash() == PathSpace(*gate).hash());
    CHECK(modes_and_grads(*copy->clone()) == modes_and_grads(*gate));
  }
}

TEST_CASE("Clone: a copy's checkpoint loads into the original", "[clone]") {
  for (const auto& [name, gate] : gates_of_named_net()) {
    CAPTURE(name);
    const auto copy = gate->clone();
    {
      const torch::NoGradGuard no_grad;
      for (auto& parameter : copy->parameters()) {
        parameter.add_(1);
      }
    }
    load_into_original(*gate, *copy);
    CHECK(all_bit_equal(copy->parameters(), gate->parameters()));
    load_into_original(*copy, *gate);
  }
}

TEST_CASE("Clone: what a renamed Sequential runs is its own", "[clone]") {
  GatedBranch branch(named_net());
  const auto copy =
      std::dynamic_pointer_cast<gatedpaths::GatedBranchImpl<Sequential>>(
          branch->clone());
  REQUIRE(copy != nullptr);
  branch->eval();
  copy->eval();
  const auto x = torch::randn({2, 4});
  CHECK(all_bit_equal({copy->forward(x)}, {branch->forward(x)}));
  {
    const torch::NoGradGuard no_grad;
    for (auto& parameter : copy->parameters()) {
      parameter.zero_();
    }
  }
  CHECK(copy->forward(x).eq(0).all().item<bool>());
  CHECK_FALSE(branch->forward(x).eq(0).all().item<bool>());
  const auto children = copy->child()->children();
  for (size_t i = 0; i < children.size(); ++i) {
    CHECK(children[i] == copy->child()->ptr(i));
  }
}
