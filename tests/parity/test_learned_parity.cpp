// SPDX-License-Identifier: MIT
// Branches weighed by logits against PyTorch's own functions.
#include <gatedpaths/gates/branch_weighting.hpp>
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/learning/mixture_estimator.hpp>
#include <gatedpaths/learning/path_logits.hpp>

#include <memory>
#include <string>

#include "parity/reference.hpp"
#include "support/catch.hpp"
#include "support/tensors.hpp"

using gatedpaths::BranchWeighting;
using gatedpaths::ChoiceBlock;
using gatedpaths::MixtureEstimator;
using gatedpaths::PathLogits;
using gatedpaths::PathSpace;
using gatedpaths::test::check_gradients;
using gatedpaths::test::kParity;
using gatedpaths::test::largest_difference;
using gatedpaths::test::load_reference;
using gatedpaths::test::reference;

namespace {

struct LearnedReference {
  LearnedReference() {
    load_reference(*block, "learned/weights/");
    const torch::NoGradGuard no_grad;
    logits->logits(0).copy_(reference().at("learned/logits"));
  }

  static torch::nn::Conv2d conv(int64_t half) {
    return torch::nn::Conv2d(
        torch::nn::Conv2dOptions(3, 4, 2 * half + 1).padding(half));
  }

  void check(const std::string& prefix) {
    const auto output = block->forward(reference().at("images"));
    CHECK(
        largest_difference(output, reference().at(prefix + "/output")) <=
        kParity);
    output.square().mean().backward();
    CHECK(
        largest_difference(
            logits->logits(0).grad(), reference().at(prefix + "/logits")) <=
        kParity);
    check_gradients(*block, prefix + "/gradient/");
  }

  ChoiceBlock<torch::nn::Conv2d> block{conv(0), conv(1), conv(2)};
  PathSpace space{block};
  PathLogits logits{space};
};

}  // namespace

TEST_CASE(
    "Parity: Gumbel-softmax with PyTorch's noise gives its gradients",
    "[parity]") {
  const std::string prefix = "gumbel/" + std::to_string(GENERATE(0, 1, 2, 3));
  CAPTURE(prefix);
  LearnedReference learned;
  const auto& noise = reference().at(prefix + "/noise");
  const int64_t chosen = reference().at(prefix + "/chosen").item<int64_t>();
  CHECK((learned.logits->logits(0) + noise).argmax().item<int64_t>() == chosen);
  learned.block->select(chosen);
  learned.block->set_weighting(
      std::make_shared<const BranchWeighting>(BranchWeighting{
          .logits = learned.logits->logits(0),
          .noise = noise,
          .temperature = reference().at(prefix + "/temperature").item<double>(),
          .active = chosen}));
  learned.check(prefix);
}

TEST_CASE(
    "Parity: the softmax mixture gives DARTS's outputs and gradients",
    "[parity]") {
  LearnedReference learned;
  MixtureEstimator estimator(learned.logits, learned.space, /*seed=*/1);
  estimator.apply();
  learned.check("darts");
}
