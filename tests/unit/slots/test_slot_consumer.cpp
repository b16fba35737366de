// SPDX-License-Identifier: MIT
#include <gatedpaths/slots/slot_consumer.hpp>

#include <gatedpaths/slots/slot_batch_norm.hpp>
#include <gatedpaths/slots/slot_conv.hpp>
#include <gatedpaths/slots/slot_linear.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "support/catch.hpp"

using gatedpaths::SlotBatchNorm2d;
using gatedpaths::SlotBatchNormOptions;
using gatedpaths::SlotConsumer;
using gatedpaths::SlotConv2d;
using gatedpaths::SlotConvOptions;
using gatedpaths::SlotLinear;
using gatedpaths::SlotLinearOptions;
using gatedpaths::SlotSplit;

namespace {

class BareConsumer : public SlotConsumer {
 public:
  using SlotConsumer::use;
  using SlotConsumer::use_all;

  int64_t num_slots() const noexcept override { return 3; }
  std::vector<at::Tensor> slot_parameters(int64_t) const override { return {}; }
  std::vector<SlotSplit> slot_splits() const override { return {}; }
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
