// SPDX-License-Identifier: MIT
// Nets with closed paths against the same nets written out in PyTorch.
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>

#include <string>

#include "parity/reference.hpp"
#include "support/catch.hpp"
#include "support/tensors.hpp"

using gatedpaths::ChoiceBlock;
using gatedpaths::ChoiceBlockOptions;
using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::Reduction;
using gatedpaths::Skip;
using gatedpaths::test::all_zero;
using gatedpaths::test::check_gradients;
using gatedpaths::test::kParity;
using gatedpaths::test::largest_difference;
using gatedpaths::test::load_reference;
using gatedpaths::test::reference;

namespace {

// Of weights after training.
constexpr double kTrained = 1e-5;

torch::nn::Sequential conv_path() {
  using namespace torch::nn;  // NOLINT(google-build-using-namespace)
  return Sequential(
      Conv2d(Conv2dOptions(3, 6, 5)),
      ReLU(),
      MaxPool2d(MaxPool2dOptions(2)),
      Conv2d(Conv2dOptions(6, 16, 5)),
      ReLU(),
      MaxPool2d(MaxPool2dOptions(2)));
}

struct Net : torch::nn::Module {
  explicit Net(Skip skip)
      : paths(register_module(
            "paths",
            ConcatGate(
                ConcatGateOptions(/*dim=*/1).skip(skip).max_open(1),
                {{"a", conv_path()}, {"b", conv_path()}}))),
        fc1(register_module("fc1", torch::nn::Linear(800, 120))),
        fc2(register_module("fc2", torch::nn::Linear(120, 84))),
        fc3(register_module("fc3", torch::nn::Linear(84, 10))) {}

  torch::Tensor forward(const torch::Tensor& images) {
    const auto features = paths->forward(images).flatten(1);
    return fc3->forward(fc2->forward(fc1->forward(features).relu()).relu());
  }

  ConcatGate<> paths;
  torch::nn::Linear fc1, fc2, fc3;
};

}  // namespace

TEST_CASE(
    "Parity: both skips give PyTorch's logits and gradients", "[parity]") {
  const auto& images = reference().at("images");
  const auto& labels = reference().at("labels");
  const Skip skip = GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  const std::string open = GENERATE("a", "b");
  const std::string closed = open == "a" ? "b" : "a";
  CAPTURE(skip, open);

  Net net(skip);
  load_reference(net, "weights/");
  net.paths->set_open({open});
  const auto logits = net.forward(images);
  torch::nn::functional::cross_entropy(logits, labels).backward();

  for (const std::string form : {"no_grad", "zero_fill"}) {
    const auto prefix = form + "/" + open;
    CHECK(
        largest_difference(logits, reference().at(prefix + "/logits")) <=
        kParity);
    check_gradients(net, prefix + "/gradient/");
  }

  // The mask form agrees in all but this: the closed path's gradients are
  // zeros.
  const auto mask = "mask/" + open;
  CHECK(
      largest_difference(logits, reference().at(mask + "/logits")) <= kParity);
  int closed_parameters = 0;
  for (const auto& parameter : net.named_parameters()) {
    CAPTURE(parameter.key());
    const auto& expected =
        reference().at(mask + "/gradient/" + parameter.key());
    if (parameter.key().starts_with("paths." + closed + ".")) {
      ++closed_parameters;
      CHECK_FALSE(parameter->grad().defined());
      CHECK(all_zero(expected));
    } else {
      CHECK(largest_difference(parameter->grad(), expected) <= kParity);
    }
  }
  CHECK(closed_parameters == 4);
}

TEST_CASE("Parity: both skips train to PyTorch's weights", "[parity]") {
  const auto& images = reference().at("training/images");
  const auto& labels = reference().at("training/labels");
  const auto& sequence = reference().at("training/sequence");
  const Skip skip = GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  CAPTURE(skip);

  Net net(skip);
  load_reference(net, "weights/");
  torch::optim::SGD optimizer(
      net.parameters(),
      torch::optim::SGDOptions(0.01).momentum(0.9).weight_decay(5e-4));
  REQUIRE(sequence.size(0) == 20);
  for (int64_t step = 0; step < sequence.size(0); ++step) {
    net.paths->set_open({sequence[step].item<int64_t>()});
    optimizer.zero_grad();
    torch::nn::functional::cross_entropy(
        net.forward(images[step]), labels[step])
        .backward();
    optimizer.step();
  }
  for (const auto& parameter : net.named_parameters()) {
    for (const std::string form : {"no_grad", "zero_fill"}) {
      CAPTURE(form, parameter.key());
      const auto& expected =
          reference().at(form + "/trained/" + parameter.key());
      CHECK(largest_difference(*parameter, expected) <= kTrained);
      CHECK(
          largest_difference(
              reference().at("weights/" + parameter.key()), expected) >
          10 * kTrained);
    }
    // The mask lets momentum and decay move a closed path, so its weights are
    // others.
    if (parameter.key().starts_with("paths.")) {
      CAPTURE(parameter.key());
      CHECK(
          largest_difference(
              *parameter, reference().at("mask/trained/" + parameter.key())) >
          kTrained);
    }
  }
}

TEST_CASE("Parity: two of three branches sum and average", "[parity]") {
  const auto& images = reference().at("images");
  const Skip skip = GENERATE(Skip::kZeroFill, Skip::kNoGrad);
  const auto reduction = GENERATE(Reduction::kSum, Reduction::kMean);
  const auto conv = [](int64_t half) {
    return torch::nn::Conv2d(
        torch::nn::Conv2dOptions(3, 4, 2 * half + 1).padding(half));
  };
  ChoiceBlock block(
      ChoiceBlockOptions().max_open(2).reduction(reduction).skip(skip),
      conv(0),
      conv(1),
      conv(2));
  load_reference(*block, "choice/weights/");
  block->set_open({0, 2});
  const auto output = block->forward(images);
  output.square().mean().backward();

  const std::string prefix =
      reduction == Reduction::kSum ? "choice/sum" : "choice/mean";
  CAPTURE(skip, prefix);
  CHECK(
      largest_difference(output, reference().at(prefix + "/output")) <=
      kParity);
  check_gradients(*block, prefix + "/gradient/");
  CHECK_FALSE(block->branch(1)->weight.grad().defined());
}
