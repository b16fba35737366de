// SPDX-License-Identifier: MIT
#include <gatedpaths/slots/slot_consumer.hpp>

#include <gatedpaths/branches/detail/no_trace.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>
#include <gatedpaths/slots/slot_batch_norm.hpp>
#include <gatedpaths/slots/slot_conv.hpp>
#include <gatedpaths/slots/slot_linear.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"

using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::GatedBranch;
using gatedpaths::GatedBranchOptions;
using gatedpaths::GatedModule;
using gatedpaths::Skip;
using gatedpaths::SlotBatchNorm2d;
using gatedpaths::SlotBatchNormOptions;
using gatedpaths::SlotConsumer;
using gatedpaths::SlotConv2d;
using gatedpaths::SlotConvOptions;
using gatedpaths::SlotLinear;
using gatedpaths::SlotLinearOptions;
using gatedpaths::SlotSplit;
using gatedpaths::detail::KeptState;

namespace {

class BareConsumer : public SlotConsumer {
 public:
  using SlotConsumer::use;
  using SlotConsumer::use_all;

  int64_t num_slots() const noexcept override { return 3; }
  std::vector<at::Tensor> slot_parameters(int64_t) const override { return {}; }
  std::vector<SlotSplit> slot_splits() const override { return {}; }
};

// Slots and the layer that takes them, as one child.
struct SlotNet : torch::nn::Module {
  SlotNet() {
    register_module("gate", gate);
    register_module("fc", fc);
  }
  torch::Tensor forward(const torch::Tensor& x) {
    return fc->forward(gate->forward_slots(x));
  }

  ConcatGate<torch::nn::Linear> gate{
      ConcatGateOptions(1).min_open(0).max_open(2),
      {{"a", torch::nn::Linear(3, 2)}, {"b", torch::nn::Linear(3, 2)}}};
  SlotLinear fc{SlotLinearOptions({2, 2}, 4)};
};

// A gate that takes slots, too: one Restorable with two kinds of state.
class GatedConsumer : public torch::nn::Module,
                      public GatedModule,
                      public BareConsumer {
 public:
  GatedConsumer() { init_gates("GatedConsumer", {"a", "b"}, 1, 1); }

  void forward() {
    begin_forward(/*training=*/true);
    use_all();
  }
  const torch::nn::Module& branch_module(int64_t) const override {
    return *this;
  }
  std::string_view gate_kind() const noexcept override {
    return "GatedConsumer";
  }

 protected:
  std::unique_ptr<KeptState> keep() override {
    struct Both : KeptState {
      std::unique_ptr<KeptState> draws;
      std::unique_ptr<KeptState> slots;
    };
    auto both = std::make_unique<Both>();
    both->draws = GatedModule::keep();
    both->slots = SlotConsumer::keep();
    return both;
  }
};

}  // namespace

TEST_CASE(
    "SlotConsumer: remembers slots in order of first use", "[slot_consumer]") {
  BareConsumer consumer;
  CHECK(consumer.used_slots().empty());
  consumer.forget_used();
  consumer.use({2});
  consumer.use({0, 2});
  consumer.use(torch::IntArrayRef());
  CHECK(consumer.used_slots() == torch::IntArrayRef({2, 0}));
  const BareConsumer copy = consumer;
  consumer.forget_used();
  CHECK(consumer.used_slots().empty());
  CHECK(copy.used_slots() == torch::IntArrayRef({2, 0}));
  consumer.use({0});
  CHECK(consumer.used_slots() == torch::IntArrayRef({0}));
  consumer.use_all();
  CHECK(consumer.used_slots() == torch::IntArrayRef({0, 1, 2}));
}

TEST_CASE(
    "SlotConsumer: a closed branch leaves no slot used", "[slot_consumer]") {
  const auto net = std::make_shared<SlotNet>();
  const auto skip = GENERATE(Skip::kNoGrad, Skip::kZeroFill);
  GatedBranch branch(net, GatedBranchOptions().skip(skip));
  const SlotConsumer& layer = *net->fc;
  const auto x = torch::ones({5, 3});
  net->gate->set_open({1});
  branch->set_open(false);
  branch->forward(x);  // kZeroFill: probed
  CHECK(layer.used_slots().empty());
  branch->set_open(true);
  branch->forward(x);
  CHECK(layer.used_slots() == torch::IntArrayRef({1}));
  net->gate->set_open({0, 1});
  branch->set_open(false);
  branch->forward(x);
  CHECK(layer.used_slots() == torch::IntArrayRef({1}));
  branch->set_open(true);
  branch->forward(x);
  CHECK(layer.used_slots() == torch::IntArrayRef({1, 0}));
}

TEST_CASE(
    "SlotConsumer: a gate that is one, too, is put back as both",
    "[slot_consumer]") {
  GatedConsumer both;
  both.draw_each_forward(7);
  {
    const gatedpaths::detail::NoTrace no_trace(both);
    both.forward();
    CHECK(both.draw_state()->step == 1);
    CHECK(both.used_slots().size() == 3);
  }
  CHECK(both.draw_state()->step == 0);
  CHECK(both.used_slots().empty());
}

TEST_CASE(
    "SlotConsumer: layers say how their dense tensors are cut",
    "[slot_consumer]") {
  const std::vector<int64_t> sizes = {2, 3};
  const auto check_cut = [&](const SlotSplit& split, int64_t dim) {
    CHECK(split.dense_name == "weight");
    CHECK(split.slot_names == std::vector<std::string>{"weight_0", "weight_1"});
    CHECK(split.dim == dim);
    CHECK(split.sizes == sizes);
    CHECK_FALSE(split.whole);
  };
  const auto linear = SlotLinear(SlotLinearOptions(sizes, 4))->slot_splits();
  REQUIRE(linear.size() == 1);
  check_cut(linear[0], 1);
  const auto conv =
      SlotConv2d(SlotConvOptions<2>(sizes, torch::nn::Conv2dOptions(5, 4, 3)))
          ->slot_splits();
  REQUIRE(conv.size() == 1);
  check_cut(conv[0], 1);

  const auto norm = SlotBatchNorm2d(SlotBatchNormOptions(
                                        sizes, torch::nn::BatchNormOptions(5)))
                        ->slot_splits();
  std::vector<std::string> names;
  for (const auto& split : norm) {
    names.push_back(split.dense_name);
    CHECK(split.dim == 0);
    CHECK(split.sizes == sizes);
    CHECK(
        split.slot_names ==
        std::vector<std::string>{
            "0." + split.dense_name, "1." + split.dense_name});
    CHECK(split.whole == (split.dense_name == "num_batches_tracked"));
  }
  CHECK(
      names == std::vector<std::string>{
                   "weight",
                   "bias",
                   "running_mean",
                   "running_var",
                   "num_batches_tracked"});
}
