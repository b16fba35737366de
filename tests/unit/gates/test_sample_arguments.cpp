// SPDX-License-Identifier: MIT
// Which of a child's arguments have a row for each sample.
#include <gatedpaths/gates/gated_branch.hpp>

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/sample_gates.hpp"
#include "support/tensors.hpp"

using gatedpaths::GatedBranch;
using gatedpaths::GatedBranchOptions;
using gatedpaths::test::all_zero;
using gatedpaths::test::bit_equal;
using gatedpaths::test::largest_difference;
using gatedpaths::test::mask_of;
using gatedpaths::test::message_of;

namespace {

// x W + b, with a mask that may be left out.
struct MatrixChildImpl : torch::nn::Module {
  torch::Tensor forward(
      const torch::Tensor& x,
      const torch::Tensor& weight,
      const std::vector<torch::Tensor>& biases,
      const torch::Tensor& mask) {
    rows = {x.size(0), weight.size(0), mask.defined() ? mask.size(0) : -1};
    auto y = x.matmul(weight);
    for (const auto& bias : biases) {
      y = y + bias;
    }
    return mask.defined() ? y * mask : y;
  }
  std::vector<int64_t> rows;
};
TORCH_MODULE(MatrixChild);

GatedBranchOptions samples_in(std::vector<int64_t> places) {
  return GatedBranchOptions().sample_arguments(std::move(places));
}

}  // namespace

TEST_CASE(
    "GatedBranch: a weight as long as the batch is not cut",
    "[gated_branch][sample_gates][forward][backward]") {
  torch::manual_seed(1);
  GatedBranch branch(MatrixChild(), samples_in({0, 3}));
  // A batch of as many samples as the weight and the first bias have rows.
  const auto x = torch::randn({4, 4});
  const auto weight = torch::randn({4, 4}).requires_grad_();
  const std::vector<torch::Tensor> biases = {
      torch::randn({4}), torch::randn({1, 4})};
  const auto mask = torch::randn({4, 1});
  const auto open = mask_of({"1", "0", "1", "0"}, true);
  const auto output = branch->forward_samples(open, x, weight, biases, mask);
  CHECK(branch->child()->rows == std::vector<int64_t>{2, 4, 2});
  const auto whole = (x.matmul(weight) + biases[0] + biases[1]) * mask;
  CHECK(largest_difference(output[0], whole[0]) < 1e-6);
  CHECK(largest_difference(output[2], whole[2]) < 1e-6);
  CHECK(all_zero(output[1]));
  output.sum().backward();
  CHECK(weight.grad().sizes() == torch::IntArrayRef({4, 4}));

  branch->forward_samples(open, x, weight, biases, torch::Tensor());
  CHECK(branch->child()->rows == std::vector<int64_t>{2, 4, -1});
}

TEST_CASE(
    "GatedBranch: what a closed child gives is not found out with a cut weight",
    "[gated_branch][sample_gates][forward]") {
  torch::manual_seed(2);
  GatedBranch branch(MatrixChild(), samples_in({0}));
  const auto x = torch::randn({4, 4});
  const auto weight = torch::randn({4, 3});
  const std::vector<torch::Tensor> none;
  SECTION("closed for all samples") {
    const auto open = torch::zeros({4}, torch::kBool);
    const auto output =
        branch->forward_samples(open, x, weight, none, torch::Tensor());
    CHECK(output.sizes() == torch::IntArrayRef({4, 3}));
  }
  SECTION("closed by its own gate") {
    branch->set_open(false);
    const auto output = branch->forward(x, weight, none, torch::Tensor());
    CHECK(output.sizes() == torch::IntArrayRef({4, 3}));
  }
  CHECK(branch->child()->rows[1] == 4);
}

TEST_CASE(
    "GatedBranch: several tensors without a word on them are refused",
    "[gated_branch][sample_gates][error]") {
  const auto open = GENERATE(
      mask_of({"1", "0"}, true),
      mask_of({"1", "1"}, true),
      mask_of({"0", "0"}, true));
  const auto x = torch::randn({2, 3});
  const std::vector<torch::Tensor> none;
  const auto refused = [&](const GatedBranchOptions& options,
                           const torch::Tensor& weight,
                           const torch::Tensor& mask) {
    GatedBranch branch(MatrixChild(), options);
    const auto message = message_of<c10::ValueError>(
        [&] { branch->forward_samples(open, x, weight, none, mask); });
    CHECK(branch->child()->rows.empty());
    return message;
  };
  CHECK(
      refused({}, torch::randn({3, 3}), {}) ==
      "GatedBranch::forward_samples: expected sample_arguments among the "
      "options for a call with 2 tensors, of [2, 3] and [3, 3], got none; "
      "sizes do not tell which have a row for each sample");
  CHECK(
      refused({}, torch::randn({3, 3}), torch::randn({2, 1})) ==
      "GatedBranch::forward_samples: expected sample_arguments among the "
      "options for a call with 3 tensors, of [2, 3] and [3, 3], ..., got none; "
      "sizes do not tell which have a row for each sample");
  CHECK(
      refused(samples_in({0, 1}), torch::randn({3, 3}), {}) ==
      "GatedBranch::forward_samples: expected a row for each of the 2 samples "
      "in argument 1, which is among sample_arguments, got [3, 3]");
  CHECK(
      refused(samples_in({3, 0}), torch::randn({3, 3}), torch::ones({})) ==
      "GatedBranch::forward_samples: expected a row for each of the 2 samples "
      "in argument 3, which is among sample_arguments, got []");
  CHECK(
      refused(samples_in({1, 3}), torch::randn({3, 3}), {}) ==
      "GatedBranch::forward_samples: expected argument 0, the first with a "
      "tensor, among sample_arguments, got [1, 3]");

  // One tensor is the samples'.
  GatedBranch linear(torch::nn::Linear(3, 2));
  CHECK(linear->forward(x, open).size(0) == 2);
}

TEST_CASE(
    "GatedBranchOptions: sample_arguments are places",
    "[gated_branch][options][error]") {
  CHECK_FALSE(GatedBranchOptions().sample_arguments().has_value());
  CHECK(*samples_in({0, 2}).sample_arguments() == std::vector<int64_t>{0, 2});
  const auto made = [](std::vector<int64_t> places) {
    return message_of<c10::ValueError>(
        [&] { GatedBranch{MatrixChild(), samples_in(std::move(places))}; });
  };
  const std::string expected =
      "GatedBranch: expected sample_arguments of at least one place, each 0 or "
      "above and named once, got ";
  CHECK(made({}) == expected + "[]");
  CHECK(made({0, -1}) == expected + "[0, -1]");
  CHECK(made({0, 1, 0}) == expected + "[0, 1, 0]");
}
