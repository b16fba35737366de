// SPDX-License-Identifier: MIT
// clone() of every gated module.
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>
#include <gatedpaths/paths/path_space.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/counting_child.hpp"
#include "support/errors.hpp"
#include "support/tensors.hpp"

using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;
using gatedpaths::AnyBranch;
using gatedpaths::ChoiceBlock;
using gatedpaths::ChoiceBlockImpl;
using gatedpaths::ChoiceBlockOptions;
using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateImpl;
using gatedpaths::ConcatGateOptions;
using gatedpaths::DrawState;
using gatedpaths::GatedBranch;
using gatedpaths::GatedBranchImpl;
using gatedpaths::GatedModule;
using gatedpaths::PathSpace;
using gatedpaths::Skip;
using gatedpaths::test::bit_equal;
using gatedpaths::test::CountingChild;
using gatedpaths::test::message_of;
using torch::nn::BatchNorm1d;
using torch::nn::Linear;
using torch::nn::Module;

namespace {

using Set = std::vector<int64_t>;

struct CloneBlockImpl : torch::nn::Cloneable<CloneBlockImpl> {
  CloneBlockImpl() { reset(); }
  void reset() override {
    linear = register_module("linear", Linear(4, 4));
    norm = register_module("norm", BatchNorm1d(4));
    drop = register_module("drop", torch::nn::Dropout(0.5));
  }
  torch::Tensor forward(const torch::Tensor& x) {
    return drop->forward(norm->forward(linear->forward(x)));
  }

  Linear linear = nullptr;
  BatchNorm1d norm = nullptr;
  torch::nn::Dropout drop = nullptr;
};
TORCH_MODULE(CloneBlock);

// Its clone has no child.
struct ForgetfulClone : Module {
  ForgetfulClone() { register_module("linear", Linear(4, 4)); }
  std::shared_ptr<Module> clone(
      const std::optional<torch::Device>& /*device*/) const override {
    return std::make_shared<torch::nn::IdentityImpl>();
  }
  torch::Tensor forward(const torch::Tensor& x) { return x; }
};

enum class CloneKind { kGatedBranch, kChoiceBlock, kConcatGate };

std::shared_ptr<Module> make_clone_source(CloneKind kind) {
  torch::manual_seed(1);
  CloneBlock one;
  CloneBlock two;
  // A mix of modes, and a frozen weight.
  one->norm->eval();
  two->eval();
  two->drop->train();
  one->linear->weight.set_requires_grad(false);
  two->norm->bias.set_requires_grad(false);
  switch (kind) {
    case CloneKind::kGatedBranch:
      return GatedBranch(one).ptr();
    case CloneKind::kChoiceBlock: {
      ChoiceBlock block(
          ChoiceBlockOptions().max_open(2), {{"one", one}, {"two", two}});
      block->set_open({1});
      return block.ptr();
    }
    case CloneKind::kConcatGate:
      break;
  }
  ConcatGate gate(ConcatGateOptions(1), {{"one", one}, {"two", two}});
  gate->set_open({1});
  return gate.ptr();
}

GatedModule& gates_of(Module& module) {
  return dynamic_cast<GatedModule&>(module);
}

std::set<const void*> addresses(const Module& module) {
  std::set<const void*> found;
  for (const auto& tensor : module.parameters()) {
    found.insert(tensor.data_ptr());
  }
  for (const auto& tensor : module.buffers()) {
    found.insert(tensor.data_ptr());
  }
  for (const auto& child : module.modules(/*include_self=*/false)) {
    found.insert(child.get());
  }
  return found;
}

std::vector<std::pair<std::string, bool>> modes(const Module& module) {
  std::vector<std::pair<std::string, bool>> found = {
      {"", module.is_training()}};
  for (const auto& child : module.named_modules({}, /*include_self=*/false)) {
    found.emplace_back(child.key(), child.value()->is_training());
  }
  return found;
}

// A net that LibTorch clones, with a gate made in reset().
struct CloneNetImpl : torch::nn::Cloneable<CloneNetImpl> {
  CloneNetImpl() { reset(); }
  void reset() override {
    paths = register_module(
        "paths",
        ConcatGate<>(
            ConcatGateOptions(1), {{"a", Linear(4, 2)}, {"b", Linear(4, 2)}}));
    block = register_module(
        "block",
        ChoiceBlock<Linear>({{"x", Linear(4, 4)}, {"y", Linear(4, 4)}}));
    branch = register_module("branch", GatedBranch(Linear(4, 4)));
  }
  torch::Tensor forward(const torch::Tensor& x) {
    return branch->forward(block->forward(paths->forward(x)));
  }

  ConcatGate<> paths = nullptr;
  ChoiceBlock<Linear> block = nullptr;
  GatedBranch<Linear> branch = nullptr;
};
TORCH_MODULE(CloneNet);

}  // namespace

TEST_CASE("Clone: keeps names, values, modes and requires_grad", "[clone]") {
  const auto source = make_clone_source(GENERATE(
      CloneKind::kGatedBranch,
      CloneKind::kChoiceBlock,
      CloneKind::kConcatGate));
  const bool training = GENERATE(true, false);
  if (!training) {
    source->eval();
  }
  const auto copy = source->clone();
  CHECK(modes(*copy) == modes(*source));

  const auto parameters = source->named_parameters();
  const auto copies = copy->named_parameters();
  CHECK(copies.keys() == parameters.keys());
  int frozen = 0;
  for (const auto& parameter : parameters) {
    CAPTURE(parameter.key());
    const auto& twin = copies[parameter.key()];
    CHECK(bit_equal(twin, parameter.value()));
    CHECK(twin.requires_grad() == parameter->requires_grad());
    frozen += twin.requires_grad() ? 0 : 1;
  }
  CHECK(frozen > 0);
  CHECK(copy->named_buffers().keys() == source->named_buffers().keys());
  for (const auto& buffer : source->named_buffers()) {
    CHECK(bit_equal(copy->named_buffers()[buffer.key()], buffer.value()));
  }

  const auto& gates = gates_of(*source);
  const auto& cloned = gates_of(*copy);
  CHECK(cloned.branch_names() == gates.branch_names());
  CHECK(cloned.min_open() == gates.min_open());
  CHECK(cloned.max_open() == gates.max_open());
  CHECK(cloned.open_branches() == gates.open_branches());
  CHECK(cloned.gate_kind() == gates.gate_kind());
}

TEST_CASE("Clone: shares nothing", "[clone]") {
  const auto source = make_clone_source(GENERATE(
      CloneKind::kGatedBranch,
      CloneKind::kChoiceBlock,
      CloneKind::kConcatGate));
  const auto copy = source->clone();
  const auto originals = addresses(*source);
  for (const void* address : addresses(*copy)) {
    CHECK(originals.count(address) == 0);
  }
  // What it runs is what it registers.
  const auto children = copy->children();
  for (size_t i = 0; i < children.size(); ++i) {
    CHECK(
        &gates_of(*copy).branch_module(static_cast<int64_t>(i)) ==
        children[i].get());
  }

  // Gates, draws and modes.
  auto& gates = gates_of(*source);
  const Set before = gates_of(*copy).open_branches().vec();
  gates.set_open({0});
  gates.draw_each_forward(5);
  source->eval();
  CHECK(gates_of(*copy).open_branches() == before);
  CHECK_FALSE(gates_of(*copy).draw_state());
  CHECK(copy->is_training());
  gates.set_draw_state({5, 17});
  const auto drawing = source->clone();
  CHECK(gates_of(*drawing).draw_state() == DrawState{5, 17});
}

TEST_CASE("Clone: what was remembered of outputs is not shared", "[clone]") {
  const auto x = torch::randn({2, 4});
  ConcatGate<Linear> gate(ConcatGateOptions(1), Linear(4, 2), Linear(4, 3));
  gate->forward(x);
  gate->set_open({1});
  const auto copy =
      std::dynamic_pointer_cast<ConcatGateImpl<Linear>>(gate->clone());
  REQUIRE(copy != nullptr);
  copy->to(torch::kDouble);
  CHECK(gate->forward(x).scalar_type() == torch::kFloat);
  const auto doubled = copy->forward(x.to(torch::kDouble));
  CHECK(doubled.scalar_type() == torch::kDouble);
  CHECK(gate->forward(x).scalar_type() == torch::kFloat);

  // A slot that was taken before goes on with the branches that it came from.
  const auto slots = gate->forward_slots(x);
  const auto dense = slots.dense();
  const auto other = gate->clone();
  CHECK(bit_equal(slots.dense(), dense));
}

TEST_CASE("Clone: typed branches are the copy's own", "[clone]") {
  const auto x = torch::randn({2, 4});
  ChoiceBlock block(Linear(4, 3), Linear(4, 3));
  block->select(1);
  const auto copy =
      std::dynamic_pointer_cast<ChoiceBlockImpl<Linear>>(block->clone());
  REQUIRE(copy != nullptr);
  CHECK(copy->branch(1).ptr() != block->branch(1).ptr());
  {
    const torch::NoGradGuard no_grad;
    copy->branch(1)->weight.zero_();
    copy->branch(1)->bias.fill_(2);
  }
  CHECK(copy->forward(x).eq(2).all().item<bool>());
  CHECK_FALSE(block->forward(x).eq(2).all().item<bool>());
  CHECK(copy->options.max_open() == 1);

  GatedBranch branch(Linear(4, 3));
  const auto branch_copy =
      std::dynamic_pointer_cast<gatedpaths::GatedBranchImpl<Linear>>(
          branch->clone());
  REQUIRE(branch_copy != nullptr);
  CHECK(branch_copy->child().ptr() != branch->child().ptr());
  CHECK(bit_equal(branch_copy->forward(x), branch->forward(x)));
}

TEST_CASE("Clone: branches that share a module go on sharing it", "[clone]") {
  const Linear shared(4, 3);
  ConcatGate<Linear> gate(
      ConcatGateOptions(1),
      {{"a", shared}, {"b", Linear(4, 3)}, {"c", shared}});
  const auto copy =
      std::dynamic_pointer_cast<ConcatGateImpl<Linear>>(gate->clone());
  REQUIRE(copy != nullptr);
  CHECK(copy->branch("a").ptr() == copy->branch("c").ptr());
  CHECK(copy->branch("a").ptr() != shared.ptr());
  CHECK(copy->branch("a").ptr() != copy->branch("b").ptr());
  CHECK(copy->parameters().size() == 4);
  const auto x = torch::randn({2, 4});
  CHECK(bit_equal(copy->forward(x), gate->forward(x)));
}

TEST_CASE("Clone: works through a Cloneable parent", "[clone]") {
  torch::manual_seed(1);
  CloneNet net;
  net->paths->set_open({1});
  net->block->select("y");
  net->block->branch("y")->weight.set_requires_grad(false);
  net->branch->child()->eval();
  net->block->draw_each_forward(9);
  net->block->stop_drawing();
  net->paths->draw_each_forward(3);

  const auto copy = std::dynamic_pointer_cast<CloneNetImpl>(net->clone());
  REQUIRE(copy != nullptr);
  const auto originals = addresses(*net);
  for (const void* address : addresses(*copy)) {
    CHECK(originals.count(address) == 0);
  }
  CHECK(copy->named_parameters().keys() == net->named_parameters().keys());
  CHECK(modes(*copy) == modes(*net));
  for (const auto& parameter : net->named_parameters()) {
    CAPTURE(parameter.key());
    const auto twin = copy->named_parameters()[parameter.key()];
    CHECK(bit_equal(twin, parameter.value()));
    CHECK(twin.requires_grad() == parameter->requires_grad());
  }
  CHECK(copy->paths->open_branches() == Set{1});
  CHECK(copy->block->open_branches() == Set{1});
  CHECK(copy->paths->draw_state() == DrawState{3, 0});
  CHECK(
      copy->block->branch(1)->weight.data_ptr() ==
      copy->named_parameters()["block.y.weight"].data_ptr());
  CHECK(
      copy->branch->child()->weight.data_ptr() ==
      copy->named_parameters()["branch.branch.weight"].data_ptr());

  const auto x = torch::randn({2, 4});
  CHECK(bit_equal(copy->forward(x), net->forward(x)));
  const PathSpace space(*copy);
  CHECK(space == PathSpace(*net));
  CHECK(space.current() == PathSpace(*net).current());
}

TEST_CASE("Clone: gates in gates are deep copies too", "[clone]") {
  ChoiceBlock inner(Linear(4, 4), Linear(4, 4));
  inner->select(1);
  GatedBranch outer(ConcatGate(
      ConcatGateOptions(1), {{"inner", inner}, {"fc", Linear(4, 1)}}));
  outer->child()->set_open({0});
  inner->eval();
  const auto copy = outer->clone();
  const auto originals = addresses(*outer);
  for (const void* address : addresses(*copy)) {
    CHECK(originals.count(address) == 0);
  }
  CHECK(modes(*copy) == modes(*outer));
  const PathSpace space(copy);
  CHECK(
      space.to_string(space.current()) ==
      ".=branch;branch=inner;branch.inner=1");
  inner->select(0);
  CHECK(
      space.to_string(space.current()) ==
      ".=branch;branch=inner;branch.inner=1");
}

TEST_CASE("Clone: finds out the sizes of its own branch", "[clone]") {
  GatedBranch branch{CountingChild()};
  const auto x = torch::randn({2, 3, 5, 5});
  branch->forward(x);
  branch->set_open(false);
  const auto copy = std::dynamic_pointer_cast<GatedBranchImpl<CountingChild>>(
      branch->clone());
  REQUIRE(copy != nullptr);
  copy->forward(x);
  CHECK(copy->child()->log.size() == 2);  // no sample, and some
  branch->forward(x);
  CHECK(branch->child()->log.size() == 1);
}

TEST_CASE("Clone: a child whose clone is another tree is an error", "[clone]") {
  GatedBranch branch(std::make_shared<ForgetfulClone>());
  CHECK_THAT(
      message_of<c10::Error>([&] { branch->clone(); }),
      StartsWith("clone: expected the clone of ") &&
          EndsWith(" to have 1 children, got 0"));
}

TEST_CASE("Clone: in a Sequential", "[clone]") {
  torch::manual_seed(1);
  ConcatGate gate(ConcatGateOptions(1), Linear(4, 2), Linear(4, 3));
  gate->set_open({1});
  torch::nn::Sequential net(gate, Linear(5, 1));
  const auto copy =
      std::dynamic_pointer_cast<torch::nn::SequentialImpl>(net->clone());
  REQUIRE(copy != nullptr);
  const auto x = torch::randn({2, 4});
  CHECK(bit_equal(copy->forward(x), net->forward(x)));
  gate->set_open({0});
  CHECK_FALSE(bit_equal(copy->forward(x), net->forward(x)));
}
