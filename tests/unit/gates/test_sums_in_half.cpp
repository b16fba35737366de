// SPDX-License-Identifier: MIT
// Sums over branches in half and bfloat16 are rounded once.
#include <gatedpaths/gates/branch_weighting.hpp>
#include <gatedpaths/gates/choice_block.hpp>

#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/counting_child.hpp"
#include "support/sample_gates.hpp"
#include "support/tensors.hpp"

using gatedpaths::BranchWeighting;
using gatedpaths::ChoiceBlock;
using gatedpaths::ChoiceBlockOptions;
using gatedpaths::NamedBranch;
using gatedpaths::Reduction;
using gatedpaths::test::bit_equal;
using gatedpaths::test::FunctionChild;

namespace {

constexpr int64_t kManyBranches = 40;

// Branch i gives the input times factors[i].
ChoiceBlock<> scaling_block(
    const std::vector<double>& factors, Reduction reduction) {
  std::vector<NamedBranch<>> branches;
  for (const double factor : factors) {
    branches.emplace_back(
        std::to_string(branches.size()),
        FunctionChild([factor](const torch::Tensor& x) { return x * factor; }));
  }
  ChoiceBlock<> block(
      ChoiceBlockOptions()
          .min_open(0)
          .max_open(static_cast<int64_t>(factors.size()))
          .reduction(reduction),
      branches);
  return block;
}

// Branch i gives values[i], whatever comes.
ChoiceBlock<> constant_block(
    const torch::Tensor& values, Reduction reduction = Reduction::kSum) {
  std::vector<NamedBranch<>> branches;
  for (int64_t i = 0; i < values.size(0); ++i) {
    branches.emplace_back(
        std::to_string(i), FunctionChild([values, i](const torch::Tensor& x) {
          return values[i].narrow(0, 0, x.size(0)) + x * 0;
        }));
  }
  return {
      ChoiceBlockOptions()
          .min_open(0)
          .max_open(values.size(0))
          .reduction(reduction),
      branches};
}

torch::Dtype any_short_dtype() {
  return GENERATE(torch::kHalf, torch::kBFloat16);
}

torch::Tensor many_values(torch::Dtype dtype) {
  torch::manual_seed(1);
  return torch::randn({kManyBranches, 6, 5}).to(dtype);
}

}  // namespace

TEST_CASE(
    "ChoiceBlock: a sum or mean that fits is not infinite on its way",
    "[choice_block][forward][backward]") {
  const auto x = torch::full({2, 3}, 40000.0, torch::kHalf).requires_grad_();
  SECTION("of all samples") {
    auto sum = scaling_block({1, 1, -1}, Reduction::kSum);
    CHECK(bit_equal(sum->forward(x), x));
    auto mean = scaling_block({1, 1}, Reduction::kMean);
    const auto output = mean->forward(x);
    CHECK(bit_equal(output, x));
    output.backward(torch::full_like(output, 40000.0));
    CHECK(bit_equal(x.grad(), torch::full_like(x, 40000.0).detach()));
  }
  SECTION("of some") {
    using gatedpaths::test::mask_of;
    auto sum = scaling_block({1, 1, -1}, Reduction::kSum);
    CHECK(bit_equal(sum->forward(x, mask_of({"111", "100"})), x));
    auto mean = scaling_block({1, 1}, Reduction::kMean);
    const auto output = mean->forward(x, mask_of({"11", "01"}));
    CHECK(bit_equal(output, x));
    CHECK(output.scalar_type() == torch::kHalf);
  }
  SECTION("weighted") {
    auto block = scaling_block({1.5, 1.5, -1, -1}, Reduction::kSum);
    // Each product fits, the first two together do not.
    const auto logits = torch::tensor({20.0, 20.0, 0.0, 0.0});
    block->set_weighting(
        std::make_shared<BranchWeighting>(BranchWeighting{.logits = logits}));
    const auto output = block->forward(x);
    CHECK(output.scalar_type() == torch::kHalf);
    CHECK(bit_equal(output, torch::full({2, 3}, 60000.0, torch::kHalf)));
  }
}

TEST_CASE(
    "ChoiceBlock: a sum over many branches is rounded once",
    "[choice_block][forward]") {
  const auto dtype = any_short_dtype();
  const auto values = many_values(dtype);
  const auto exact = values.to(torch::kDouble);
  const auto x = torch::zeros({6, 5}, dtype);
  // The sum in float, whose own error is far below a rounding.
  CHECK(bit_equal(
      constant_block(values)->forward(x),
      exact.to(torch::kFloat).sum(0).to(dtype)));
  CHECK(bit_equal(
      constant_block(values, Reduction::kMean)->forward(x),
      (exact.to(torch::kFloat).sum(0) / kManyBranches).to(dtype)));
}

TEST_CASE(
    "ChoiceBlock: gates of each sample round a sum once",
    "[choice_block][sample_gates][forward][backward]") {
  const auto dtype = any_short_dtype();
  const auto reduction = GENERATE(Reduction::kSum, Reduction::kMean);
  std::vector<double> factors;
  for (int64_t i = 0; i < kManyBranches; ++i) {
    factors.push_back(i % 2 == 0 ? 1.0 : -0.5);
  }
  torch::manual_seed(2);
  auto block = scaling_block(factors, reduction);
  const auto open = torch::rand({6, kManyBranches}) < 0.6;
  const auto x = torch::randn({6, 5}).to(dtype).requires_grad_();
  const auto exact = x.detach().to(torch::kDouble).requires_grad_();
  const auto output = block->forward(x, open);
  const auto expected = block->forward(exact, open);
  CHECK(output.scalar_type() == dtype);
  const double one_rounding = dtype == torch::kHalf ? 0x1p-11 : 0x1p-8;
  const auto within = [&](const torch::Tensor& actual,
                          const torch::Tensor& wanted) {
    return ((actual.to(torch::kDouble) - wanted).abs() <=
            1.05 * one_rounding * wanted.abs())
        .all()
        .item<bool>();
  };
  // Products by 1 and -0.5 are exact.
  CHECK(within(output, expected));
  output.sum().backward();
  expected.sum().backward();
  if (reduction == Reduction::kSum) {
    CHECK(within(x.grad(), exact.grad()));
  }
}

TEST_CASE(
    "ChoiceBlock: a mixture is rounded once",
    "[weighted_choice][forward][backward]") {
  const auto dtype = any_short_dtype();
  const auto values = many_values(dtype);
  torch::manual_seed(3);
  const auto numbers = torch::randn({kManyBranches});
  const auto run = [&](torch::Dtype wanted, const torch::Tensor& logits) {
    auto block = constant_block(values.to(wanted));
    block->set_weighting(
        std::make_shared<BranchWeighting>(BranchWeighting{.logits = logits}));
    const auto x = torch::zeros({6, 5}, wanted).requires_grad_();
    const auto output = block->forward(x);
    CHECK(output.scalar_type() == wanted);
    output.sum().backward();
    return output.detach();
  };
  const auto logits = numbers.clone().requires_grad_();
  const auto exact_logits = numbers.to(torch::kDouble).requires_grad_();
  const auto output = run(dtype, logits).to(torch::kDouble);
  const auto expected = run(torch::kDouble, exact_logits);
  const double one_rounding = dtype == torch::kHalf ? 0x1p-11 : 0x1p-8;
  CHECK(
      ((output - expected).abs() <= 1.05 * one_rounding * expected.abs() + 1e-6)
          .all()
          .item<bool>());
  CHECK(
      (logits.grad() - exact_logits.grad()).abs().max().item<double>() < 1e-5);
}
