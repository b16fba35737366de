// SPDX-License-Identifier: MIT
// Saving and loading by name: torch::save and torch::load.
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>

#include <sstream>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/tensors.hpp"

using gatedpaths::ChoiceBlock;
using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::GatedBranch;
using gatedpaths::test::bit_equal;
using torch::nn::BatchNorm1d;
using torch::nn::Linear;

namespace {

struct SavedNetImpl : torch::nn::Module {
  explicit SavedNetImpl(uint64_t seed) {
    torch::manual_seed(seed);
    block = register_module(
        "block",
        ChoiceBlock<>(
            {{"fc", Linear(4, 4)},
             {"norm", torch::nn::Sequential(Linear(4, 4), BatchNorm1d(4))}}));
    paths = register_module(
        "paths",
        ConcatGate<Linear>(ConcatGateOptions(1), Linear(4, 2), Linear(4, 3)));
    branch = register_module("branch", GatedBranch(Linear(5, 5)));
  }
  torch::Tensor forward(const torch::Tensor& x) {
    return branch->forward(paths->forward(block->forward(x)));
  }

  ChoiceBlock<> block = nullptr;
  ConcatGate<Linear> paths = nullptr;
  GatedBranch<Linear> branch = nullptr;
};
TORCH_MODULE(SavedNet);

void check_same_tensors(
    const torch::nn::Module& one, const torch::nn::Module& two) {
  const auto compare = [](const auto& first, const auto& second) {
    REQUIRE(first.keys() == second.keys());
    for (const auto& item : first) {
      CAPTURE(item.key());
      CHECK(bit_equal(item.value(), second[item.key()]));
    }
  };
  compare(one.named_parameters(), two.named_parameters());
  compare(one.named_buffers(), two.named_buffers());
}

}  // namespace

TEST_CASE("Serialize: tensors are called by branch", "[serialize]") {
  const SavedNet net(1);
  CHECK(
      net->named_parameters().keys() == std::vector<std::string>{
                                            "block.fc.weight",
                                            "block.fc.bias",
                                            "block.norm.0.weight",
                                            "block.norm.0.bias",
                                            "block.norm.1.weight",
                                            "block.norm.1.bias",
                                            "paths.0.weight",
                                            "paths.0.bias",
                                            "paths.1.weight",
                                            "paths.1.bias",
                                            "branch.branch.weight",
                                            "branch.branch.bias"});
  CHECK(
      net->named_buffers().keys() == std::vector<std::string>{
                                         "block.norm.1.running_mean",
                                         "block.norm.1.running_var",
                                         "block.norm.1.num_batches_tracked"});
}

TEST_CASE("Serialize: what was saved is loaded", "[serialize]") {
  SavedNet net(1);
  net->block->select("norm");
  const auto x = torch::randn({6, 4});
  net->forward(x);  // so that the running statistics are others
  std::stringstream file;
  torch::save(net, file);

  SavedNet other(2);
  CHECK_FALSE(bit_equal(
      other->paths->branch(0)->weight, net->paths->branch(0)->weight));
  // What it has seen before it is loaded does not matter.
  other->paths->set_open({0});
  other->forward(x);
  torch::load(other, file);
  check_same_tensors(*net, *other);

  // The gates are no tensors: they stay as they are, and can be set alike.
  CHECK(other->block->is_open("fc"));
  CHECK_FALSE(other->paths->is_open(1));
  other->block->select("norm");
  other->paths->set_open({0, 1});
  net->eval();
  other->eval();
  CHECK(bit_equal(other->forward(x), net->forward(x)));
}

TEST_CASE("Serialize: holders of gates save and load alone", "[serialize]") {
  ConcatGate<Linear> gate(
      ConcatGateOptions(1), {{"a", Linear(4, 2)}, {"b", Linear(4, 3)}});
  std::stringstream file;
  torch::save(gate, file);
  // A gate of other order finds its tensors by name.
  ConcatGate<Linear> swapped(
      ConcatGateOptions(1), {{"b", Linear(4, 3)}, {"a", Linear(4, 2)}});
  torch::load(swapped, file);
  CHECK(bit_equal(swapped->branch("a")->weight, gate->branch("a")->weight));
  CHECK(bit_equal(swapped->branch("b")->bias, gate->branch("b")->bias));

  // By name means that another name is not found.
  ConcatGate<Linear> renamed(
      ConcatGateOptions(1), {{"a", Linear(4, 2)}, {"c", Linear(4, 3)}});
  file.seekg(0);
  CHECK_THROWS_AS(torch::load(renamed, file), c10::Error);

  ChoiceBlock<Linear> block({{"a", Linear(4, 2)}, {"b", Linear(4, 2)}});
  ChoiceBlock<Linear> other({{"a", Linear(4, 2)}, {"b", Linear(4, 2)}});
  std::stringstream second;
  torch::save(block, second);
  torch::load(other, second);
  check_same_tensors(*block, *other);
}

TEST_CASE("Serialize: a shared module is saved once", "[serialize]") {
  const Linear shared(4, 3);
  ConcatGate<Linear> gate(ConcatGateOptions(1), {{"a", shared}, {"b", shared}});
  std::stringstream file;
  torch::save(gate, file);
  const Linear other(4, 3);
  ConcatGate<Linear> loaded(ConcatGateOptions(1), {{"a", other}, {"b", other}});
  torch::load(loaded, file);
  CHECK(
      loaded->named_parameters().keys() ==
      std::vector<std::string>{"a.weight", "a.bias"});
  CHECK(bit_equal(loaded->branch("b")->weight, shared->weight));
}
