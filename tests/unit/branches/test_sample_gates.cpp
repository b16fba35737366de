// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/sample_gates.hpp>

#include <torch/csrc/autograd/autograd.h>

#include <cstdint>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/finite_difference.hpp"
#include "support/tensors.hpp"

using gatedpaths::detail::put_rows;
using gatedpaths::detail::take_rows;
using gatedpaths::test::all_zero;
using gatedpaths::test::bit_equal;
using gatedpaths::test::gradient_error;

namespace {

constexpr int64_t kRowsBatch = 6;

torch::Tensor rows_list(const std::vector<int64_t>& rows) {
  return torch::tensor(rows, torch::kLong);
}

// Batches that lie in memory in all sorts of ways.
std::vector<torch::Tensor> batches_of_rows() {
  torch::manual_seed(3);
  const auto plain = torch::randn({kRowsBatch, 3, 4, 5});
  return {
      plain,
      plain.contiguous(torch::MemoryFormat::ChannelsLast),
      plain.narrow(1, 1, 2),
      torch::randn({2 * kRowsBatch, 3}).narrow(0, 3, kRowsBatch),
      torch::randn({3, kRowsBatch}).t(),
      torch::randn({1, 4}).expand({kRowsBatch, 4}),
      torch::randn({kRowsBatch}),
      torch::zeros({kRowsBatch, 0}),
      plain.to(torch::kBFloat16),
      torch::arange(2 * kRowsBatch).view({kRowsBatch, 2})};
}

}  // namespace

TEST_CASE(
    "sample_gates: rows are taken and put back bit for bit",
    "[sample_gates][forward]") {
  const auto rows = rows_list({0, 2, 5});
  const auto others = rows_list({1, 3, 4});
  for (const auto& batch : batches_of_rows()) {
    CAPTURE(batch.sizes(), batch.strides(), batch.dtype().name());
    const auto taken = take_rows(batch, {rows, others, {}}, false);
    REQUIRE(taken.size() == 3);
    CHECK(bit_equal(taken[0], batch.index_select(0, rows)));
    CHECK(bit_equal(taken[1], batch.index_select(0, others)));
    CHECK(taken[2].is_same(batch));

    const auto put = put_rows(taken[0], {rows}, kRowsBatch, true);
    CHECK(bit_equal(put.index_select(0, rows), taken[0]));
    CHECK(put.numel() == batch.numel());
    CHECK(put.index_select(0, others).count_nonzero().item<int64_t>() == 0);
    CHECK(bit_equal(
        put_rows({taken[0], taken[1]}, {rows, others}, kRowsBatch, true),
        batch));
    CHECK(put_rows(batch, {torch::Tensor()}, kRowsBatch, true).is_same(batch));
  }
}

TEST_CASE(
    "sample_gates: rows keep their memory format", "[sample_gates][forward]") {
  const auto batch = torch::randn({kRowsBatch, 3, 4, 5})
                         .contiguous(torch::MemoryFormat::ChannelsLast);
  const auto rows = rows_list({1, 4});
  const auto taken = take_rows(batch, {rows}, true).front();
  CHECK(taken.is_contiguous(torch::MemoryFormat::ChannelsLast));
  CHECK(put_rows(taken, {rows}, kRowsBatch, true)
            .is_contiguous(torch::MemoryFormat::ChannelsLast));
  // The first value's.
  const auto mixed = put_rows(
      {taken, taken.contiguous()}, {rows, rows_list({2, 3})}, kRowsBatch, true);
  CHECK(mixed.is_contiguous(torch::MemoryFormat::ChannelsLast));
  CHECK(bit_equal(mixed.narrow(0, 2, 2), taken));
}

TEST_CASE(
    "sample_gates: conjugates and negatives that are not computed yet are put "
    "as such",
    "[sample_gates][forward]") {
  const bool negative = GENERATE(true, false);
  CAPTURE(negative);
  const auto value = negative
                         ? torch::_neg_view(torch::randn({2, 3}))
                         : torch::randn({2, 3}, torch::kComplexFloat).conj();
  REQUIRE((value.is_neg() || value.is_conj()));
  const auto rows = rows_list({0, 3});
  const auto put = put_rows(value, {rows}, 5, true);
  CHECK(put.index_select(0, rows).equal(value.resolve_conj().resolve_neg()));
  CHECK(put.narrow(0, 1, 2).count_nonzero().item<int64_t>() == 0);
  CHECK(put[4].count_nonzero().item<int64_t>() == 0);
}

TEST_CASE(
    "sample_gates: overlapping rows are summed, whole batches too",
    "[sample_gates][forward]") {
  const auto a = torch::tensor({{1.0, 2.0}, {3.0, 4.0}});
  const auto whole = torch::tensor({{10.0, 20.0}, {30.0, 40.0}, {50.0, 60.0}});
  const auto rows = rows_list({0, 2});
  const auto expected =
      torch::tensor({{11.0, 22.0}, {30.0, 40.0}, {53.0, 64.0}});
  CHECK(bit_equal(put_rows({a, whole}, {rows, {}}, 3, false), expected));
  CHECK(bit_equal(put_rows({whole, a}, {{}, rows}, 3, false), expected));
  CHECK(bit_equal(
      put_rows({a, a}, {rows, rows_list({1, 2})}, 3, false),
      torch::tensor({{1.0, 2.0}, {1.0, 2.0}, {6.0, 8.0}})));
  CHECK(whole[0][0].item<double>() == 10.0);
}

TEST_CASE(
    "sample_gates: a NaN stays in its row, there and back",
    "[sample_gates][backward]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto value = torch::full({1, 2}, nan);
  const auto other = torch::ones({1, 2}).requires_grad_();
  const bool disjoint = GENERATE(true, false);
  const auto sum =
      put_rows({value, other}, {rows_list({1}), rows_list({2})}, 3, disjoint);
  CHECK(all_zero(sum[0]));
  CHECK(sum[1].isnan().all().item<bool>());
  CHECK(sum[2].eq(1).all().item<bool>());
  sum.backward(torch::tensor({{nan, nan}, {nan, nan}, {3.0, 4.0}}));
  CHECK(bit_equal(other.grad(), torch::tensor({{3.0, 4.0}})));
}

TEST_CASE(
    "sample_gates: gradients agree with finite differences, twice",
    "[sample_gates][backward]") {
  const auto options = torch::dtype(torch::kDouble);
  torch::manual_seed(4);
  const auto batch = torch::randn({3, 2}, options).requires_grad_();
  const auto a = torch::randn({2, 2}, options).requires_grad_();
  const auto rows = rows_list({0, 2});
  const bool disjoint = GENERATE(true, false);
  const auto more = rows_list(
      disjoint ? std::vector<int64_t>{1} : std::vector<int64_t>{1, 2});
  const auto loss = [&] {
    const auto taken = take_rows(batch, {rows, more}, disjoint);
    return put_rows({taken[0] * a, taken[1]}, {rows, more}, 3, disjoint)
        .pow(3)
        .sum();
  };
  const auto slope = [&] {
    const torch::AutoGradMode with_grad(true);
    return torch::autograd::grad(
               {loss()}, {batch}, {}, std::nullopt, /*create_graph=*/true)
        .front()
        .square()
        .sum();
  };
  loss().backward();
  CHECK(gradient_error(loss, batch) < 1e-7);
  CHECK(gradient_error(loss, a) < 1e-7);
  batch.mutable_grad().reset();
  a.mutable_grad().reset();
  slope().backward();
  CHECK(gradient_error(slope, batch) < 1e-5);
  CHECK(gradient_error(slope, a) < 1e-5);
}

TEST_CASE(
    "sample_gates: only what has a gradient is asked for one",
    "[sample_gates][backward]") {
  const auto batch = torch::randn({4, 2}).requires_grad_();
  const auto taken = take_rows(batch, {rows_list({0}), rows_list({1})}, true);
  taken[1].sum().backward();  // nothing comes back from the first
  CHECK(bit_equal(
      batch.grad(),
      torch::tensor({{0.0F, 0.0F}, {1.0F, 1.0F}, {0.0F, 0.0F}, {0.0F, 0.0F}})));
  CHECK_FALSE(take_rows(batch.detach(), {rows_list({0})}, true)
                  .front()
                  .requires_grad());
  const auto fixed = torch::ones({1, 2});
  const auto sum = put_rows(
      {fixed, batch.narrow(0, 0, 1)},
      {rows_list({0}), rows_list({1})},
      2,
      true);
  batch.mutable_grad().reset();
  sum.sum().backward();
  CHECK(batch.grad().sum().item<double>() == 2);
  CHECK_FALSE(fixed.grad().defined());
}

TEST_CASE(
    "sample_gates: what is taken may be changed in place",
    "[sample_gates][backward]") {
  const auto batch = torch::tensor({-1.0, 2.0, 3.0, -4.0}).requires_grad_();
  auto taken = take_rows(batch, {rows_list({0, 1}), rows_list({2})}, true);
  torch::relu_(taken[0]);
  (taken[0].sum() + taken[1].sum()).backward();
  CHECK(bit_equal(batch.grad(), torch::tensor({0.0, 1.0, 1.0, 0.0})));
  CHECK(batch[0].item<double>() == -1);
}

TEST_CASE(
    "sample_gates: gradients of rows are differentiable",
    "[sample_gates][second_order]") {
  torch::manual_seed(9);
  const bool disjoint = GENERATE(false, true);
  const auto rows = rows_list({0, 2, 5});
  const auto others = disjoint ? rows_list({1, 4}) : rows_list({2, 4});
  const auto input =
      torch::randn({kRowsBatch, 2}, torch::kDouble).set_requires_grad(true);
  const auto gradient = [&] {
    const torch::AutoGradMode with_grad(true);
    const auto taken = take_rows(input, {rows, others}, disjoint);
    const auto put = put_rows(
        {taken[0].sin(), taken[1].tanh()},
        {rows, others},
        kRowsBatch,
        disjoint);
    const auto of_input =
        torch::autograd::grad({put.sin().sum()}, {input}, {}, true, true);
    return of_input[0].square().sum();
  };
  input.mutable_grad() = torch::autograd::grad({gradient()}, {input})[0];
  CHECK(input.grad().abs().max().item<double>() > 0.1);
  CHECK(gradient_error(gradient, input) < 1e-8);
}
