// SPDX-License-Identifier: MIT
// Where the shape of what stands in for a closed branch comes from.
#include <gatedpaths/branches/output_shape.hpp>
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>

#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "support/autocast.hpp"
#include "support/catch.hpp"
#include "support/counting_child.hpp"
#include "support/errors.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using Catch::Matchers::Equals;
using Catch::Matchers::StartsWith;
using gatedpaths::ChoiceBlock;
using gatedpaths::ChoiceBlockOptions;
using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::GatedBranch;
using gatedpaths::GatedBranchOptions;
using gatedpaths::OutputShape;
using gatedpaths::Skip;
using gatedpaths::Slots;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::all_zero;
using gatedpaths::test::Autocast;
using gatedpaths::test::CallLog;
using gatedpaths::test::copies_of;
using gatedpaths::test::CountingChild;
using gatedpaths::test::FunctionChild;
using gatedpaths::test::FunctionChildImpl;
using gatedpaths::test::message_of;
using gatedpaths::test::random_stream;

namespace {

using Sizes = std::vector<int64_t>;

Sizes sizes_of(const torch::Tensor& tensor) { return tensor.sizes().vec(); }

FunctionChild shape_identity() {
  return FunctionChild([](const torch::Tensor& x) { return x + 0; });
}

// Breaks on an empty batch.
FunctionChild shape_view() {
  return FunctionChild(
      [](const torch::Tensor& x) { return x.view({x.size(0), -1}); });
}

// A closed branch around `child`.
auto shape_closed(
    const FunctionChild& child, const OutputShape& shape = OutputShape()) {
  GatedBranch branch(child, GatedBranchOptions().output_shape(shape));
  branch->set_open(false);
  return branch;
}

// `[N, 3, ...]` -> two tensors; counts its calls.
struct ShapePairImpl : torch::nn::Module {
  std::pair<torch::Tensor, torch::Tensor> forward(const torch::Tensor& x) {
    log.add(x, is_training());
    return {x * 2, x.sum(0)};
  }
  CallLog log;
};
TORCH_MODULE(ShapePair);

struct ShapeEvalOnlyImpl : torch::nn::Module {
  ShapeEvalOnlyImpl() {
    norm = register_module("norm", torch::nn::BatchNorm1d(3));
    drop = register_module("drop", torch::nn::Dropout());
  }
  torch::Tensor forward(const torch::Tensor& x) {
    log.add(x, is_training());
    TORCH_CHECK(!is_training(), "eval only");
    return drop->forward(norm->forward(x));
  }
  torch::nn::BatchNorm1d norm = nullptr;
  torch::nn::Dropout drop = nullptr;
  CallLog log;
};
TORCH_MODULE(ShapeEvalOnly);

}  // namespace

TEST_CASE("Shapes: what is declared comes first", "[shapes][forward]") {
  auto child = shape_identity();
  SECTION("fixed sizes") {
    auto branch = shape_closed(child, {3, 4});
    CHECK(sizes_of(branch->forward(torch::ones({5, 3, 4}))) == Sizes{5, 3, 4});
    CHECK(sizes_of(branch->forward(torch::ones({0, 3, 4}))) == Sizes{0, 3, 4});
  }
  SECTION("no sizes but the batch's") {
    auto branch = shape_closed(child, Sizes{});
    CHECK(sizes_of(branch->forward(torch::ones({5, 3}))) == Sizes{5});
  }
  SECTION("a function of the input's sizes") {
    auto branch = shape_closed(
        child, [](c10::IntArrayRef in) { return Sizes{2 * in[0], in[1] - 1}; });
    CHECK(sizes_of(branch->forward(torch::ones({5, 3, 4}))) == Sizes{5, 6, 3});
    CHECK(sizes_of(branch->forward(torch::ones({2, 1, 9}))) == Sizes{2, 2, 8});
  }
  CHECK(child->log.size() == 0);
}

TEST_CASE(
    "Shapes: one branch's declaration overrides the gate's",
    "[shapes][forward]") {
  auto a = shape_identity();
  auto b = shape_identity();
  auto c = shape_identity();
  ConcatGate gate(
      ConcatGateOptions(1).output_shape({2}),
      {{"a", a}, {"b", b, {5}}, {"c", c, OutputShape().dtype(torch::kDouble)}});
  gate->set_open({});
  // Slot "c" declares a dtype alone, so its sizes are found by a probe.
  const auto output = gate->forward(torch::ones({4, 3}));
  CHECK(sizes_of(output) == Sizes{4, 2 + 5 + 3});
  CHECK(a->log.size() == 0);
  CHECK(b->log.size() == 0);
  CHECK(c->log.size() == 2);  // no sample, and some
}

TEST_CASE("Shapes: the dtype of a declared shape", "[shapes][forward]") {
  SECTION("is that of the first floating-point parameter") {
    torch::nn::Linear linear(3, 4);
    linear->to(torch::kDouble);
    GatedBranch branch(linear, GatedBranchOptions().output_shape({4}));
    branch->set_open(false);
    CHECK(branch->forward(torch::ones({2, 3})).scalar_type() == torch::kDouble);
  }
  SECTION("is that of the weights where the input has integers") {
    GatedBranch branch(
        torch::nn::Embedding(10, 4), GatedBranchOptions().output_shape({6, 4}));
    branch->set_open(false);
    const auto output = branch->forward(torch::ones({2, 6}, torch::kLong));
    CHECK(output.scalar_type() == torch::kFloat);
    CHECK(sizes_of(output) == Sizes{2, 6, 4});
  }
  SECTION("is the input's where there are no parameters") {
    auto branch = shape_closed(shape_identity(), {3});
    CHECK(
        branch->forward(torch::ones({2, 3}, torch::kDouble)).scalar_type() ==
        torch::kDouble);
  }
  SECTION("is the autocast dtype where autocast is on") {
    auto branch = shape_closed(shape_identity(), {3});
    const Autocast autocast(torch::kHalf);
    CHECK(branch->forward(torch::ones({2, 3})).scalar_type() == torch::kHalf);
  }
  SECTION("is what is declared") {
    auto child =
        FunctionChild([](const torch::Tensor& x) { return x.argmax(1); });
    auto branch = shape_closed(child, OutputShape(Sizes{}).dtype(torch::kLong));
    const auto output = branch->forward(torch::ones({2, 3}));
    CHECK(output.scalar_type() == torch::kLong);
    CHECK(sizes_of(output) == Sizes{2});
    branch->set_open(true);
    CHECK(branch->forward(torch::ones({2, 3})).scalar_type() == torch::kLong);
  }
}

TEST_CASE("Shapes: like an open sibling needs no probe", "[shapes][forward]") {
  auto a = shape_identity();
  auto b = shape_view();
  ConcatGate gate(
      ConcatGateOptions(1).output_shape(OutputShape::like_open_sibling()),
      {{"a", a}, {"b", b}});
  gate->set_open({0});
  for (const int64_t samples : {4, 2, 0}) {
    const auto output = gate->forward(torch::ones({samples, 3}));
    CHECK(sizes_of(output) == Sizes{samples, 6});
    CHECK(all_zero(output.narrow(1, 3, 3)));
  }
  CHECK(b->log.size() == 0);

  SECTION("and where none is open, a shape is found as without it") {
    gate->set_open({});
    CHECK(sizes_of(gate->forward(torch::ones({4, 3}))) == Sizes{4, 6});
    CHECK(b->log.size() == 2);  // no sample, and four: the batch
  }
  SECTION("and takes its dtype and memory format") {
    ConcatGate images(
        ConcatGateOptions(1).output_shape(OutputShape::like_open_sibling()),
        {{"a", a}, {"b", b}});
    images->set_open({0});
    const auto output =
        images->forward(torch::ones({2, 3, 4, 4}, torch::kHalf)
                            .contiguous(torch::MemoryFormat::ChannelsLast));
    CHECK(output.scalar_type() == torch::kHalf);
    CHECK(output.is_contiguous(torch::MemoryFormat::ChannelsLast));
  }
}

TEST_CASE(
    "Shapes: slots keep what was known for their own batch",
    "[shapes][forward]") {
  // The first size is not the number of samples, so that what one returned
  // holds for as many samples alone.
  const auto time_first = [] {
    return FunctionChild(
        [](const torch::Tensor& x) { return x.transpose(0, 1); });
  };
  ConcatGate gate(
      ConcatGateOptions(2).output_shape(OutputShape::like_open_sibling()),
      {{"a", time_first()}, {"b", time_first()}});
  gate->set_open({0});
  const Slots four = gate->forward_slots(torch::ones({4, 3, 2}));
  const Slots two = gate->forward_slots(torch::ones({2, 3, 2}));
  CHECK(sizes_of(two.dense()) == Sizes{3, 2, 4});
  CHECK(sizes_of(four.dense()) == Sizes{3, 4, 4});
}

TEST_CASE(
    "Shapes: what was returned before needs no probe for as many samples",
    "[shapes][forward]") {
  auto child = shape_view();
  GatedBranch branch(child);
  branch->forward(torch::ones({4, 3, 2}));
  branch->set_open(false);
  CHECK(sizes_of(branch->forward(torch::ones({4, 3, 2}))) == Sizes{4, 6});
  CHECK(child->log.size() == 1);
  // That a size was the batch's may have been chance.
  for (const int64_t samples : {7, 0, 4, 9}) {
    CHECK(
        sizes_of(branch->forward(torch::ones({samples, 3, 2}))) ==
        Sizes{samples, 6});
    CHECK(child->log.size() == 3);
  }
  CHECK(child->log.with(0) == 1);
  CHECK(child->log.with(6) == 1);
}

TEST_CASE("Shapes: probes have no sample, and some", "[shapes][forward]") {
  SECTION("and says how each size follows the batch") {
    // Time first: the batch is the second dim of what is returned.
    auto child =
        FunctionChild([](const torch::Tensor& x) { return x.transpose(0, 1); });
    auto branch = shape_closed(child);
    CHECK(sizes_of(branch->forward(torch::ones({5, 3}))) == Sizes{3, 5});
    CHECK(sizes_of(branch->forward(torch::ones({9, 3}))) == Sizes{3, 9});
    CHECK(child->log.size() == 2);
    CHECK(child->log.with(0) == 1);
    CHECK(child->log.with(4) == 1);
    CHECK(child->log.last().training);
    CHECK_FALSE(child->log.last().grad_mode);
  }
  SECTION("and may find a size that does not depend on the batch") {
    auto child = FunctionChild([](const torch::Tensor& x) { return x.sum(0); });
    auto branch = shape_closed(child);
    CHECK(sizes_of(branch->forward(torch::ones({5, 3}))) == Sizes{3});
    CHECK(child->log.size() == 2);
  }
  SECTION("and a second input size of zero is not taken for the batch") {
    auto branch = shape_closed(shape_identity());
    CHECK(sizes_of(branch->forward(torch::ones({5, 0, 3}))) == Sizes{5, 0, 3});
  }
}

TEST_CASE(
    "Shapes: sizes that grow faster than the batch are known from a run",
    "[shapes][forward]") {
  auto rows =
      FunctionChild([](const torch::Tensor& x) { return x.flatten(0, 1); });
  GatedBranch branch(rows);
  branch->forward(torch::ones({5, 3, 2}));
  branch->set_open(false);
  CHECK(sizes_of(branch->forward(torch::ones({5, 3, 2}))) == Sizes{15, 2});
  CHECK(rows->log.size() == 1);
  // A probe with no sample alone would say one row a sample.
  CHECK(sizes_of(branch->forward(torch::ones({2, 3, 2}))) == Sizes{6, 2});
  CHECK(sizes_of(branch->forward(torch::ones({5, 3, 2}))) == Sizes{15, 2});
  CHECK(rows->log.size() == 3);
}

TEST_CASE(
    "Shapes: where no sample is not enough, four and six tell",
    "[shapes][forward]") {
  SECTION("a view of minus one") {
    auto child = shape_view();
    auto branch = shape_closed(child);
    CHECK(sizes_of(branch->forward(torch::ones({5, 3, 2}))) == Sizes{5, 6});
    CHECK(sizes_of(branch->forward(torch::ones({8, 3, 2}))) == Sizes{8, 6});
    CHECK(child->log.size() == 3);
    CHECK(child->log.with(0) == 1);
    CHECK(child->log.with(4) == 1);
    CHECK(child->log.with(6) == 1);
    CHECK(child->log.last().training);
    CHECK(child->is_training());
  }
  SECTION("a size of one is not taken for the batch") {
    auto child = FunctionChild([](const torch::Tensor& x) {
      return x.view({x.size(0), -1}).unsqueeze(0);
    });
    auto branch = shape_closed(child);
    CHECK(sizes_of(branch->forward(torch::ones({5, 6}))) == Sizes{1, 5, 6});
  }
}

TEST_CASE(
    "Shapes: probes leave modes, buffers and random streams as they were",
    "[shapes][forward]") {
  ShapeEvalOnly child;
  child->drop->eval();  // mixed: the child and its norm train
  GatedBranch branch(child);
  branch->set_open(false);
  const auto buffers = copies_of(child->buffers());
  const auto stream = random_stream();
  CHECK(sizes_of(branch->forward(torch::ones({5, 3}))) == Sizes{5, 3});
  CHECK(child->log.size() == 7);  // all five in training, two in eval
  CHECK_FALSE(child->log.last().training);
  CHECK(child->is_training());
  CHECK(child->norm->is_training());
  CHECK_FALSE(child->drop->is_training());
  CHECK(all_bit_equal(child->buffers(), buffers));
  CHECK(torch::equal(random_stream(), stream));

  child->train();
  child->norm->eval();  // the other way round
  child->drop->train();
  branch->forward(torch::ones({5, 3}, torch::kDouble).to(torch::kFloat));
  GatedBranch other(child);
  other->set_open(false);
  other->forward(torch::ones({5, 3}));
  CHECK(child->is_training());
  CHECK_FALSE(child->norm->is_training());
  CHECK(child->drop->is_training());
}

TEST_CASE(
    "Shapes: a child that takes only whole batches is probed with one",
    "[shapes][forward]") {
  auto child = FunctionChild([](const torch::Tensor& x) {
    TORCH_CHECK(x.size(0) == 5 || x.size(0) == 7, "no such batch");
    return x.flatten(1);
  });
  auto branch = shape_closed(child);
  CHECK(sizes_of(branch->forward(torch::ones({5, 3, 2}))) == Sizes{5, 6});
  CHECK(child->log.with(5) == 1);
  CHECK(child->log.last().training);
  CHECK(sizes_of(branch->forward(torch::ones({5, 3, 2}))) == Sizes{5, 6});
  CHECK(child->log.with(5) == 1);
  // How its sizes follow the batch is not known.
  CHECK(sizes_of(branch->forward(torch::ones({7, 3, 2}))) == Sizes{7, 6});
  CHECK(child->log.with(7) == 1);
}

TEST_CASE(
    "Shapes: where every probe fails, the error says what to declare",
    "[shapes][error]") {
  const auto refuse = [] {
    return FunctionChild([](const torch::Tensor& x) {
      TORCH_CHECK(false, "no ", x.size(0));
      return x;
    });
  };
  auto child = refuse();
  auto branch = shape_closed(child);
  CHECK_THAT(
      message_of<c10::Error>([&] { branch->forward(torch::ones({5, 3, 2})); }),
      Equals(
          "GatedBranch::forward: expected to know what shape branch 0 "
          "('branch') would return for an input of [3, 2] a sample, but it is "
          "closed, has not run on such an input, and every probe failed (with "
          "an empty batch: no 0; with 4 samples: no 4; with the whole batch: "
          "no 5; with the whole batch in eval mode: no 5); declare its "
          "output_shape, or run it open once, or use Skip::kNoGrad"));
  CHECK(child->is_training());

  ConcatGate gate(
      ConcatGateOptions(1), {{"a", shape_identity()}, {"conv5", refuse()}});
  gate->set_open({0});
  CHECK_THAT(
      message_of<c10::Error>([&] { gate->forward(torch::ones({5, 3})); }),
      StartsWith("ConcatGate::forward: expected to know what shape branch 1 "
                 "('conv5') would return for an input of [3] a sample"));
  // In slot form nothing has to be known.
  CHECK(gate->forward_slots(torch::ones({5, 3})).values().size() == 1);

  ChoiceBlock block(ChoiceBlockOptions().min_open(0), {{"first", refuse()}});
  block->set_open({});
  CHECK_THAT(
      message_of<c10::Error>([&] { block->forward(torch::ones({5, 3})); }),
      StartsWith("ChoiceBlock::forward: expected to know what shape branch 0 "
                 "('first') would return"));
}

TEST_CASE(
    "Shapes: what is known is kept for every kind of input",
    "[shapes][forward]") {
  auto child = shape_identity();
  auto branch = shape_closed(child);
  const auto plain = torch::ones({5, 3, 4, 4});
  branch->forward(plain);
  REQUIRE(child->log.size() == 2);
  branch->forward(torch::zeros({2, 3, 4, 4}));
  branch->forward(plain.clone().requires_grad_());
  CHECK(child->log.size() == 2);
  for (int round = 0; round < 2; ++round) {
    branch->forward(plain.narrow(0, 0, 1));
    CHECK(child->log.size() == 3);  // one sample may be an exception
  }

  const auto probes_for = [&](const torch::Tensor& input) {
    const int64_t before = child->log.size();
    const auto output = branch->forward(input);
    CHECK(output.sizes() == input.sizes());
    CHECK(output.scalar_type() == input.scalar_type());
    const int64_t first = child->log.size() - before;
    branch->forward(input);
    CHECK(child->log.size() - before == first);
    return first;
  };
  CHECK(probes_for(torch::ones({5, 3, 4, 5})) == 2);
  CHECK(probes_for(torch::ones({5, 4, 4, 4})) == 2);
  CHECK(probes_for(torch::ones({5, 3, 16})) == 2);
  CHECK(probes_for(plain.to(torch::kDouble)) == 2);
  CHECK(probes_for(plain.contiguous(torch::MemoryFormat::ChannelsLast)) == 2);
  {
    const Autocast autocast;
    CHECK(probes_for(plain) == 2);
  }
  {
    const Autocast autocast(torch::kHalf);
    CHECK(probes_for(plain) == 2);
  }
  CHECK(probes_for(plain) == 0);
}

TEST_CASE(
    "Shapes: ever new sizes do not lose the right answer",
    "[shapes][forward]") {
  auto child = shape_identity();
  auto branch = shape_closed(child);
  for (int round = 0; round < 2; ++round) {
    for (int64_t size = 1; size <= 100; ++size) {
      REQUIRE(
          sizes_of(branch->forward(torch::ones({2, size}))) == Sizes{2, size});
    }
  }
}

TEST_CASE(
    "Shapes: of ever new sizes the oldest is forgotten", "[shapes][forward]") {
  auto child = shape_identity();
  auto branch = shape_closed(child);
  constexpr int64_t kSizes = 5000;
  for (int64_t size = 1; size <= kSizes; ++size) {
    branch->forward(torch::ones({2, size}));
  }
  const auto probes_for = [&](int64_t size) {
    const int64_t before = child->log.size();
    branch->forward(torch::ones({2, size}));
    return child->log.size() - before;
  };
  CHECK(child->log.size() == 2 * kSizes);
  CHECK(probes_for(kSizes) == 0);
  CHECK(probes_for(1) == 2);
  CHECK(probes_for(1) == 0);
}

TEST_CASE(
    "Shapes: of several outputs each batch size costs one probe at most",
    "[shapes][forward]") {
  ShapePair child;
  GatedBranch branch(child);
  const auto check_closed = [&](int64_t samples) {
    const auto [doubled, sum] = branch->forward(torch::ones({samples, 3}));
    CHECK(sizes_of(doubled) == Sizes{samples, 3});
    CHECK(sizes_of(sum) == Sizes{3});
    CHECK(all_zero(doubled));
    CHECK(all_zero(sum));
  };
  SECTION("the sizes were returned for as many samples") {
    branch->forward(torch::ones({4, 3}));
    branch->set_open(false);
    check_closed(4);
    CHECK(child->log.size() == 1);
    check_closed(2);
    CHECK(child->log.with(0) == 1);
    check_closed(4);
    check_closed(9);
    CHECK(child->log.size() == 2);
  }
  SECTION("opening it does not forget what a probe told") {
    for (int round = 0; round < 3; ++round) {
      branch->set_open(true);
      branch->forward(torch::ones({4, 3}));
      branch->set_open(false);
      check_closed(2);
    }
    CHECK(child->log.with(4) == 3);
    CHECK(child->log.with(0) == 1);
  }
}

TEST_CASE(
    "Shapes: a child that returns other than declared is an error",
    "[shapes][error]") {
  const auto skip = GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  CAPTURE(skip);
  GatedBranch branch(
      shape_identity(), GatedBranchOptions().skip(skip).output_shape({3, 5}));
  CHECK(
      message_of<c10::ValueError>(
          [&] { branch->forward(torch::ones({4, 3, 2})); }) ==
      "GatedBranch::forward: expected branch 0 ('branch') to return its "
      "declared output_shape [4, 3, 5], got [4, 3, 2]");
  ConcatGate gate(
      ConcatGateOptions(1).skip(skip),
      {{"a", shape_identity()},
       {"b", shape_identity(), OutputShape().dtype(torch::kHalf)}});
  CHECK(
      message_of<c10::ValueError>(
          [&] { gate->forward(torch::ones({4, 3})); }) ==
      "ConcatGate::forward: expected branch 1 ('b') to return its declared "
      "dtype Half, got Float");
  // The gate goes on working.
  gate->set_open({0});
  if (skip == Skip::kZeroFill) {
    CHECK(sizes_of(gate->forward(torch::ones({4, 3}))) == Sizes{4, 6});
  }
}

TEST_CASE(
    "Shapes: an input without dims is taken as it is", "[shapes][forward]") {
  const auto skip = GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  CAPTURE(skip);
  const auto scalar = torch::tensor(2.0F);
  GatedBranch branch(shape_identity(), GatedBranchOptions().skip(skip));
  branch->set_open(false);
  CHECK(sizes_of(branch->forward(scalar)).empty());
  ChoiceBlock block(
      ChoiceBlockOptions().skip(skip).min_open(0),
      {{"a", shape_identity()}, {"b", shape_identity()}});
  CHECK(block->forward(scalar).item<float>() == 2);
  block->set_open({});
  CHECK(sizes_of(block->forward(scalar)).empty());
  CHECK(all_zero(block->forward(scalar)));

  ChoiceBlock fresh(
      ChoiceBlockOptions().skip(skip).min_open(0), {{"a", shape_identity()}});
  fresh->set_open({});
  CHECK(sizes_of(fresh->forward(scalar)).empty());
}

TEST_CASE(
    "Shapes: a move to another dtype forgets what was returned",
    "[shapes][forward]") {
  torch::nn::Linear linear(3, 4);
  GatedBranch branch(linear);
  ConcatGate gate(ConcatGateOptions(1), {{"a", linear}, {"b", linear}});
  // Integers, so that the input is the same before and after.
  const auto embed = torch::nn::Embedding(5, 2);
  GatedBranch words(embed);
  const auto input = torch::ones({2, 3}, torch::kLong);
  CHECK(words->forward(input).scalar_type() == torch::kFloat);
  words->set_open(false);
  words->to(torch::kDouble);
  CHECK(words->forward(input).scalar_type() == torch::kDouble);
}
