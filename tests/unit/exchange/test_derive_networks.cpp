// SPDX-License-Identifier: MIT
// Networks of other kinds than one of each gate: what they share, what draws by
// itself, what cannot be copied or dropped.
#include <gatedpaths/depth/layer_drop.hpp>
#include <gatedpaths/depth/stochastic_depth.hpp>
#include <gatedpaths/exchange/checkpoint.hpp>
#include <gatedpaths/exchange/derive.hpp>
#include <gatedpaths/exchange/reset_weights.hpp>
#include <gatedpaths/gates/gate_head.hpp>

#include <torch/nn/init.h>
#include <torch/nn/modules/rnn.h>
#include <torch/serialize.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/fake_gate.hpp"
#include "support/path_net.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

namespace gp = gatedpaths;
namespace nn = torch::nn;

using gp::derive;
using gp::narrow;
using gp::PathSpace;
using gp::test::all_bit_equal;
using gp::test::bit_equal;
using gp::test::copies_of;
using gp::test::elements_of;
using gp::test::message_of;
using gp::test::same_conv;

namespace {

// A block that two gates share.
struct SharingNetImpl : nn::Cloneable<SharingNetImpl> {
  SharingNetImpl() { reset(); }

  void reset() override {
    const nn::Linear shared(4, 4);
    first = register_module(
        "first",
        gp::ChoiceBlock<>({{"shared", shared}, {"own", nn::Linear(4, 4)}}));
    second = register_module(
        "second",
        gp::ChoiceBlock<>(
            {{"own", nn::Linear(4, 4)},
             {"shared", shared},
             {"again", shared}}));
  }

  torch::Tensor forward(const torch::Tensor& input) {
    return second->forward(first->forward(input));
  }

  gp::ChoiceBlock<> first = nullptr;
  gp::ChoiceBlock<> second = nullptr;
};
TORCH_MODULE(SharingNet);

// One weight in two places: LibTorch's clone() makes two of it.
struct TiedNetImpl : nn::Cloneable<TiedNetImpl> {
  TiedNetImpl() { reset(); }

  void reset() override {
    in = register_module("in", nn::Linear(nn::LinearOptions(4, 4).bias(false)));
    gate = register_module(
        "gate",
        gp::ChoiceBlock<>({{"a", nn::Linear(4, 4)}, {"b", nn::Linear(4, 4)}}));
    out = register_parameter("out", in->weight);
  }

  torch::Tensor forward(const torch::Tensor& input) {
    return torch::linear(gate->forward(in->forward(input)), out);
  }

  nn::Linear in = nullptr;
  gp::ChoiceBlock<> gate = nullptr;
  torch::Tensor out;
};
TORCH_MODULE(TiedNet);

// Two layers of one class whose copies do not share what they share.
struct UnsharingNetImpl : nn::Cloneable<UnsharingNetImpl> {
  UnsharingNetImpl() { reset(); }
  void reset() override {
    const nn::Linear shared(4, 4);
    first = register_module("first", nn::Sequential(shared));
    gate = register_module(
        "gate",
        gp::ChoiceBlock<>(
            {{"a", nn::Sequential(shared)}, {"b", nn::Linear(4, 4)}}));
  }
  torch::Tensor forward(const torch::Tensor& input) {
    return gate->forward(first->forward(input));
  }
  nn::Sequential first = nullptr;
  gp::ChoiceBlock<> gate = nullptr;
};
TORCH_MODULE(UnsharingNet);

// Like most networks: no clone() of its own.
struct PlainNet : nn::Module {
  PlainNet() {
    gate = register_module(
        "gate",
        gp::ConcatGate<nn::Linear>(
            gp::ConcatGateOptions(1), nn::Linear(4, 2), nn::Linear(4, 3)));
    fc =
        register_module("fc", gp::SlotLinear(gp::SlotLinearOptions({2, 3}, 5)));
  }

  torch::Tensor forward(const torch::Tensor& input) {
    return fc->forward(gate->forward_slots(input));
  }

  gp::ConcatGate<nn::Linear> gate = nullptr;
  gp::SlotLinear fc = nullptr;
};

struct ScaleImpl : nn::Cloneable<ScaleImpl> {
  ScaleImpl() { reset(); }
  void reset() override {
    weight = register_parameter("weight", torch::ones(4));
  }
  torch::Tensor forward(const torch::Tensor& input) { return input * weight; }
  torch::Tensor weight;
};
TORCH_MODULE(Scale);

}  // namespace

TEST_CASE("derive: what is shared goes on being shared", "[derive]") {
  SharingNet net;
  const PathSpace space(net);
  const auto input = torch::randn({3, 4});
  for (const auto& [text, elements] :
       {std::pair("first=shared;second=shared", 20),
        std::pair("first=own;second=again", 40),
        std::pair("first=shared;second=own", 40)}) {
    CAPTURE(text);
    const auto path = space.parse(text);
    auto derived = derive(net, path);
    space.apply(path);
    CHECK(bit_equal(derived->forward(input), net->forward(input)));
    CHECK(elements_of(*derived) == elements);
  }
  auto derived = derive(net, space.parse("first=shared;second=again"));
  CHECK(derived->first->branch(0).ptr() == derived->second->branch(0).ptr());
}

TEST_CASE(
    "derive: a weight in two places stays one, or the copy is refused",
    "[derive][error]") {
  TiedNet net;
  const PathSpace space(net);
  CHECK_THAT(
      message_of<c10::Error>([&] { return derive(net, space.at(0)); }),
      Catch::Matchers::StartsWith(
          "derive: expected a clone() that gives 'out' and 'in.weight' the "
          "same tensor, as the network has it, got two"));
  const auto input = torch::randn({3, 4});
  const auto expected = net->forward(input);
  narrow(net, space.at(0));
  CHECK(bit_equal(net->forward(input), expected));
  CHECK(net->out.is_same(net->in->weight));
  CHECK(elements_of(*net) == 16 + 20);
}

TEST_CASE(
    "derive: refuses a copy that does not share what the network shares",
    "[derive][error]") {
  UnsharingNet net;
  const PathSpace space(net);
  CHECK_THAT(
      message_of<c10::Error>([&] { return derive(net, space.at(0)); }),
      Catch::Matchers::StartsWith(
          "derive: expected a clone() that gives 'first.0' and 'gate.a.0' the "
          "same module, as the network has it, got two"));
  const auto input = torch::randn({3, 4});
  const auto expected = net->forward(input);
  narrow(net, space.at(0));
  CHECK(bit_equal(net->forward(input), expected));
  CHECK(elements_of(*net) == 20);
}

TEST_CASE(
    "derive: refuses a copy that runs gates outside of its module tree",
    "[derive][error]") {
  // LibTorch's clone of the list copies the blocks once more.
  struct ListedImpl : nn::Cloneable<ListedImpl> {
    ListedImpl() { reset(); }
    void reset() override {
      blocks.clear();
      list = register_module("list", nn::ModuleList());
      for (int i = 0; i < 3; ++i) {
        blocks.push_back(
            gp::ChoiceBlock<nn::Linear>(nn::Linear(4, 4), nn::Linear(4, 4)));
        list->push_back(blocks.back().ptr());
      }
    }
    torch::Tensor forward(torch::Tensor x) {
      for (auto& block : blocks) {
        x = block->forward(x);
      }
      return x;
    }
    std::vector<gp::ChoiceBlock<nn::Linear>> blocks{};
    nn::ModuleList list{nullptr};
  };
  const auto net = std::make_shared<ListedImpl>();
  const PathSpace space(net);
  const auto path = space.at(5);
  CHECK_THAT(
      message_of<c10::Error>([&] { return derive(net, space, path); }),
      Catch::Matchers::StartsWith(
          "derive: expected a clone() that holds gates and layers on slots in "
          "its module tree alone, got one with 3 outside of it"));
  space.apply(path);
  const auto input = torch::randn({3, 4});
  const auto expected = net->forward(input);
  narrow(net, space, path);
  CHECK(bit_equal(net->forward(input), expected));
  // What is narrowed, with a closed branch that is in no tree, can be copied.
  struct DeepImpl : nn::Cloneable<DeepImpl> {
    DeepImpl() { reset(); }
    void reset() override {
      gate = register_module(
          "gate",
          gp::ConcatGate<>(
              gp::ConcatGateOptions(1).min_open(1),
              {{"a", nn::Linear(4, 2)},
               {"b",
                nn::Sequential(gp::ChoiceBlock<nn::Linear>(
                    nn::Linear(4, 3), nn::Linear(4, 3)))}}));
    }
    torch::Tensor forward(const torch::Tensor& x) { return gate->forward(x); }
    gp::ConcatGate<> gate{nullptr};
  };
  const auto deep = std::make_shared<DeepImpl>();
  const PathSpace deep_space(deep);
  deep_space.apply(deep_space.parse("gate=a"));
  const auto once = derive(deep, deep_space.current());
  const auto twice = derive(once, PathSpace(once).current());
  CHECK(bit_equal(twice->forward(input), deep->forward(input)));
}

TEST_CASE("derive: a network without clone() is narrowed itself", "[derive]") {
  auto net = std::make_shared<PlainNet>();
  const PathSpace space(net);
  const auto path = space.parse("gate=1");
  CHECK_THAT(
      message_of<c10::Error>([&] { return derive(net, path); }),
      Catch::Matchers::StartsWith(
          "derive: expected a network that can be cloned, got: clone() has "
          "not been implemented for "));
  std::stringstream stream;
  torch::save(net, stream);
  torch::serialize::InputArchive archive;
  archive.load_from(stream);
  auto other = std::make_shared<PlainNet>();
  gp::load_checked(other, archive);
  narrow(other, path);
  space.apply(path);
  const auto input = torch::randn({3, 4});
  CHECK(bit_equal(other->forward(input), net->forward(input)));
  CHECK(elements_of(*other) == 15 + 15 + 5);

  PlainNet on_stack;
  narrow(on_stack, path);
  CHECK(elements_of(*other) == 15 + 15 + 5);
}

TEST_CASE(
    "derive: a layer on slots of several gates needs them alike",
    "[derive][error]") {
  struct TwoGatesImpl : nn::Cloneable<TwoGatesImpl> {
    TwoGatesImpl() { reset(); }
    void reset() override {
      const gp::ConcatGateOptions options(1);
      a = register_module(
          "a",
          gp::ConcatGate<nn::Linear>(
              options, nn::Linear(4, 2), nn::Linear(4, 3)));
      b = register_module(
          "b",
          gp::ConcatGate<nn::Linear>(
              options, nn::Linear(4, 2), nn::Linear(4, 3)));
      fc = register_module(
          "fc", gp::SlotLinear(gp::SlotLinearOptions({2, 3}, 5)));
    }
    torch::Tensor forward(const torch::Tensor& x) {
      return fc->forward(a->forward_slots(x)) +
             fc->forward(b->forward_slots(x));
    }
    gp::ConcatGate<nn::Linear> a = nullptr;
    gp::ConcatGate<nn::Linear> b = nullptr;
    gp::SlotLinear fc = nullptr;
  };
  auto net = std::make_shared<TwoGatesImpl>();
  const PathSpace space(net);
  const auto input = torch::randn({3, 4});
  net->forward(input);
  CHECK(
      message_of<c10::ValueError>(
          [&] { return derive(net, space.parse("a=0;b=1")); }) ==
      "derive: expected gates with the same open branches before 'fc', which "
      "takes the slots of 'a' and 'b', got (0) and (1)");
  const auto path = space.parse("a=1;b=1");
  space.apply(path);
  CHECK(bit_equal(derive(net, path)->forward(input), net->forward(input)));
}

TEST_CASE(
    "derive: what draws by itself stays whole and goes on drawing",
    "[derive][random]") {
  nn::Sequential net(
      gp::StochasticDepth(
          nn::Linear(4, 4), gp::StochasticDepthOptions(0.5).seed(1)),
      gp::LayerDrop(
          gp::LayerDropOptions(0.5).seed(2),
          nn::Linear(4, 4),
          nn::Linear(4, 4)),
      gp::ChoiceBlock<>({{"a", nn::Linear(4, 4)}, {"b", nn::Linear(4, 4)}}),
      gp::ChoiceBlock<>({{"c", nn::Linear(4, 4)}, {"d", nn::Linear(4, 4)}}));
  net->at<gp::ChoiceBlockImpl<gp::AnyBranch>>(3).draw_each_forward(3);
  const PathSpace space(net);
  const auto path = space.parse("2=b");
  auto derived = derive(net, path);
  space.apply(path);
  const auto input = torch::randn({3, 4});
  for (int step = 0; step < 8; ++step) {
    CHECK(bit_equal(derived->forward(input), net->forward(input)));
  }
  CHECK(elements_of(*derived) == elements_of(*net) - 20);

  SECTION("of a LayerDrop in the space the kept layers go on being dropped") {
    const PathSpace all(
        net, [](auto name, const auto&) { return name == "1" || name == "2"; });
    const auto kept = all.parse("1=1;2=a");
    auto pruned = derive(net, all, kept);
    auto& drop = dynamic_cast<gp::LayerDropBase&>(*pruned->children()[1]);
    CHECK(drop.num_branches() == 1);
    int64_t ran = 0;
    for (int step = 0; step < 40; ++step) {
      pruned->forward(input);
      ran += static_cast<int64_t>(drop.ran_branches().size());
    }
    CHECK(ran > 5);
    CHECK(ran < 35);
    all.apply(kept);
    net->eval();
    pruned->eval();
    CHECK(bit_equal(pruned->forward(input), net->forward(input)));

    const auto none = all.parse("1=;2=a");
    auto bare = derive(net, all, none);
    all.apply(none);
    bare->forward(input);  // draws among nothing
    bare->eval();
    CHECK(bit_equal(bare->forward(input), net->forward(input)));
  }
}

TEST_CASE(
    "derive: gates for each sample are refused where branches are gone",
    "[derive][error]") {
  gp::ChoiceBlock<> block({{"a", nn::Linear(4, 4)}, {"b", nn::Linear(4, 4)}});
  const PathSpace space(block);
  auto derived = derive(block, space.at(1));
  const auto input = torch::randn({3, 4});
  block->select(1);
  CHECK(bit_equal(derived->forward(input), block->forward(input)));
  CHECK(
      message_of<c10::ValueError>([&] {
        return derived->forward(input, torch::ones({3, 1}, torch::kBool));
      }) ==
      "ChoiceBlock::forward: expected a gate with all of its branches for "
      "gates for each sample, got one that was derived for a path, without 1 "
      "of 2");
}

TEST_CASE("derive: a closed branch with a part in the result", "[derive]") {
  using gp::ClosedValue;
  using gp::Skip;
  gp::ConcatGate<nn::Linear> gate(
      gp::ConcatGateOptions(1)
          .skip(Skip::kNoGrad)
          .closed_value(ClosedValue::kDetached),
      nn::Linear(4, 2),
      nn::Linear(4, 3));
  const PathSpace space(gate);
  CHECK_THAT(
      message_of<c10::ValueError>(
          [&] { return derive(gate, space.parse(".=1")); }),
      Catch::Matchers::StartsWith(
          "ConcatGate::keep_only: expected a gate whose closed branches have "
          "no part in its result, got closed_value=kDetached"));
  CHECK(gate->num_branches() == 2);
  CHECK(derive(gate, space.parse(".=0+1"))->num_branches() == 2);

  gp::GatedBranch<nn::Linear> branch(
      nn::Linear(4, 4),
      gp::GatedBranchOptions()
          .skip(Skip::kNoGrad)
          .closed_value(ClosedValue::kDetached));
  const PathSpace other(branch);
  CHECK_THROWS_AS(derive(branch, other.parse(".=")), c10::ValueError);
}

TEST_CASE(
    "derive: under kNoGrad nothing of a closed branch runs any more",
    "[derive]") {
  gp::GatedBranch<nn::LSTM> branch(
      nn::LSTM(nn::LSTMOptions(4, 3).batch_first(true)),
      gp::GatedBranchOptions().skip(gp::Skip::kNoGrad));
  const PathSpace space(branch);
  const auto input = torch::randn({2, 5, 4});
  auto closed = derive(branch, space.parse(".="));
  CHECK(closed->parameters().empty());
  branch->set_open(false);
  const auto expected = branch->forward(input);
  const auto output = closed->forward(input);
  CHECK(bit_equal(std::get<0>(output), std::get<0>(expected)));
  CHECK(bit_equal(
      std::get<1>(std::get<1>(output)), std::get<1>(std::get<1>(expected))));
  CHECK_THROWS_AS(closed->set_open(true), c10::Error);

  auto open = derive(branch, space.parse(".=branch"));
  CHECK(elements_of(*open) == elements_of(*branch));
  CHECK_THROWS_AS(open->set_open(false), c10::ValueError);
}

TEST_CASE("derive: nothing open in a gate of another kind", "[derive]") {
  gp::ChoiceBlock<> block(
      gp::ChoiceBlockOptions().min_open(0),
      {{"a", nn::Linear(4, 2)}, {"b", nn::Linear(4, 2)}});
  const PathSpace space(block);
  auto derived = derive(block, space.parse(".="));
  CHECK(derived->num_branches() == 0);
  CHECK(derived->parameters().empty());
  CHECK(PathSpace(derived).num_gates() == 0);
  CHECK(bit_equal(derived->forward(torch::ones({3, 4})), torch::zeros({3, 2})));
  const auto again =
      std::dynamic_pointer_cast<gp::ChoiceBlockImpl<gp::AnyBranch>>(
          derived->clone());
  CHECK(bit_equal(again->forward(torch::ones({3, 4})), torch::zeros({3, 2})));
  std::ostringstream text;
  text << *derived;
  CHECK(
      text.str().find("min_open=0, max_open=0, open=[]") != std::string::npos);
}

TEST_CASE(
    "derive: a gate of one's own needs drop_branches", "[derive][error]") {
  auto gate = gp::test::fake_gate({"a", "b"});
  const PathSpace space(gate);
  CHECK_THROWS_AS(narrow(gate, space.at(0)), c10::NotImplementedError);
  CHECK(gate->num_branches() == 2);
  CHECK_THROWS_AS(gate->keep_only(c10::IntArrayRef({0, 1})), c10::ValueError);
  CHECK_THROWS_AS(gate->keep_only(c10::IntArrayRef(2)), c10::IndexError);
}

TEST_CASE("derive: a head outside of closed branches stays", "[derive]") {
  struct HeadedImpl : nn::Cloneable<HeadedImpl> {
    HeadedImpl() { reset(); }
    void reset() override {
      head = register_module(
          "head", gp::GateHead(gp::GateHeadOptions(4, 1).seed(1)));
      branch = register_module(
          "branch", gp::GatedBranch<nn::Linear>(nn::Linear(4, 4)));
      choice = register_module(
          "choice",
          gp::ChoiceBlock<>(
              {{"a", nn::Linear(4, 4)}, {"b", nn::Linear(4, 4)}}));
    }
    torch::Tensor forward(const torch::Tensor& x) {
      return choice->forward(head->forward(x).run(branch, x));
    }
    gp::GateHead head = nullptr;
    gp::GatedBranch<nn::Linear> branch = nullptr;
    gp::ChoiceBlock<> choice = nullptr;
  };
  auto net = std::make_shared<HeadedImpl>();
  const PathSpace space(
      net, [](auto name, const auto&) { return name == "choice"; });
  const auto path = space.at(1);
  auto derived = derive(net, space, path);
  space.apply(path);
  net->eval();
  derived->eval();
  const auto input = torch::randn({5, 4});
  CHECK(bit_equal(derived->forward(input), net->forward(input)));
  CHECK(elements_of(*derived) == elements_of(*net) - 20);
}

TEST_CASE("reset_weights: gives what a new network has", "[reset_weights]") {
  const auto make = [] {
    nn::Sequential made;  // in this order, which arguments are not made in
    made->push_back(same_conv(3, 4, 3));
    made->push_back(nn::BatchNorm2d(4));
    made->push_back(nn::PReLU());
    made->push_back(nn::LayerNorm(nn::LayerNormOptions({4})));
    made->push_back(nn::GRU(4, 3));
    made->push_back(gp::SlotLinear(gp::SlotLinearOptions({2, 3}, 4)));
    made->push_back(nn::Embedding(5, 3));
    made->push_back(nn::MultiheadAttention(4, 2));
    return made;
  };
  auto net = make();
  const auto same = net->parameters();
  {
    const torch::NoGradGuard no_grad;
    for (auto& parameter : net->parameters()) {
      parameter.fill_(7);
    }
    for (auto& buffer : net->buffers()) {
      buffer.fill_(7);
    }
  }
  torch::manual_seed(11);
  gp::reset_weights(net);
  torch::manual_seed(11);
  const auto fresh = make();
  const auto names = fresh->named_parameters().keys();
  const auto values = net->parameters();
  const auto expected = fresh->parameters();
  REQUIRE(values.size() == expected.size());
  for (size_t i = 0; i < values.size(); ++i) {
    CAPTURE(names[i]);
    CHECK(bit_equal(values[i], expected[i]));
    CHECK(values[i].is_same(same[i]));
  }
  CHECK(all_bit_equal(net->buffers(), fresh->buffers()));
}

TEST_CASE(
    "reset_weights: a class of one's own needs an initialiser",
    "[reset_weights][error]") {
  nn::Sequential net(nn::Linear(4, 4), Scale());
  const auto before = copies_of(net->parameters());
  CHECK(message_of<c10::ValueError>([&] {
          gp::reset_weights(net);
        }).starts_with("reset_weights: expected an initialiser for '1', a "));
  CHECK(all_bit_equal(net->parameters(), before));
  gp::reset_weights(net, [](nn::Module& module) {
    auto* scale = dynamic_cast<ScaleImpl*>(&module);
    if (scale != nullptr) {
      nn::init::constant_(scale->weight, 3);
    }
    return scale != nullptr;
  });
  CHECK(bit_equal(
      net->parameters().back(),
      torch::full({4}, 3.0F).set_requires_grad(true)));
  CHECK_FALSE(bit_equal(net->parameters().front(), before.front()));
  CHECK_THROWS_AS(
      gp::reset_weights(net, [](nn::Module&) { return false; }),
      c10::ValueError);
}
