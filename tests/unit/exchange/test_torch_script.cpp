// SPDX-License-Identifier: MIT
// What LibTorch itself runs of an exported network; parity tests load the same
// files in Python.
#include <gatedpaths/exchange/torch_script.hpp>

#include <torch/nn/modules/rnn.h>
#include <torch/script.h>

#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"
#include "support/path_net.hpp"
#include "support/tensors.hpp"

namespace gp = gatedpaths;

using gp::export_path;
using gp::export_torch_script;
using gp::PathSpace;
using gp::test::largest_difference;
using gp::test::message_of;
using gp::test::PathNet;
using gp::test::TemporaryFolder;

namespace {

torch::Tensor batch_of(int64_t size) { return torch::randn({size, 3, 6, 6}); }

// What a trace of it is not, by `what`.
struct OddNet : torch::nn::Module {
  explicit OddNet(std::string what_is_odd) : what(std::move(what_is_odd)) {
    weight = register_parameter("weight", torch::ones(3));
    eval();
  }

  torch::Tensor forward(const torch::Tensor& x) {
    if (what == "decides") {
      return x.sum().item<float>() > 0 ? x * weight : x - weight;
    }
    if (what == "draws") {
      return x * weight + torch::rand_like(x);
    }
    if (what == "counts") {
      return x * weight * ++calls;
    }
    if (what == "sizes") {
      return x * weight + torch::arange(x.size(0)).unsqueeze(1);
    }
    return (x * hidden).sqrt();
  }

  std::string what;
  int calls = 0;
  torch::Tensor weight;
  torch::Tensor hidden = torch::ones(3).requires_grad_();
};

}  // namespace

TEST_CASE(
    "export_path: the file gives what the path gives, for any batch",
    "[torch_script]") {
  const TemporaryFolder folder;
  const auto file = folder / "net.pt";
  PathNet net;
  net->forward(batch_of(2));
  const PathSpace space(net);
  for (const char* text :
       {"stem=norm;wide=b+c;residual=branch;dense=d+e;tail=0",
        "stem=conv3+inner;stem.inner.0=y;wide=b;residual=;dense=e;tail=1"}) {
    CAPTURE(text);
    const auto path = space.parse(text);
    export_path(
        net,
        path,
        batch_of(4),
        file,
        std::vector<torch::Tensor>{batch_of(1), batch_of(7)});
    CHECK(net->is_training());
    auto derived = gp::derive(net, path);
    derived->eval();
    auto loaded = torch::jit::load(file.string());
    for (const int64_t size : {1, 4, 9}) {
      const auto input = batch_of(size);
      CHECK(
          largest_difference(
              loaded.forward({input}).toTensor(), derived->forward(input)) <=
          1e-6);
    }
    std::vector<std::string> names;
    for (const auto& parameter : loaded.named_parameters()) {
      names.push_back(parameter.name);
    }
    auto expected = derived->named_parameters().keys();
    std::sort(names.begin(), names.end());
    std::sort(expected.begin(), expected.end());
    CHECK(names == expected);
  }
}

TEST_CASE(
    "export_torch_script: several arguments, and tuples as the result",
    "[torch_script]") {
  const TemporaryFolder folder;
  const auto file = folder / "lstm.pt";
  gp::GatedBranch<torch::nn::LSTM> net(
      torch::nn::LSTM(torch::nn::LSTMOptions(4, 3)));
  net->eval();
  const auto input = torch::randn({5, 2, 4});
  using State = std::tuple<torch::Tensor, torch::Tensor>;
  using Arguments = std::tuple<torch::Tensor, std::optional<State>>;
  export_torch_script(
      net,
      Arguments(input, State(torch::randn({1, 2, 3}), torch::randn({1, 2, 3}))),
      file);
  const State state(torch::ones({1, 2, 3}), torch::zeros({1, 2, 3}));
  const auto expected = net->forward(input, state);
  const auto output =
      torch::jit::load(file.string()).forward({input, state}).toTuple();
  CHECK(
      largest_difference(
          output->elements()[0].toTensor(), std::get<0>(expected)) <= 1e-6);
}

TEST_CASE(
    "export_torch_script: refuses what a trace cannot be",
    "[torch_script][error]") {
  const TemporaryFolder folder;
  const auto file = folder / "net.pt";
  const auto input = torch::rand({2, 3}) + 0.5;
  const auto refused = [&](const char* what,
                           const std::vector<torch::Tensor>& checks = {}) {
    const auto net = std::make_shared<OddNet>(what);
    return message_of<c10::ValueError>(
        [&] { export_torch_script(net, input, file, checks); });
  };
  using Catch::Matchers::StartsWith;
  const std::string prefix =
      "export_torch_script: expected the trace to give what the network gives "
      "on ";
  CHECK_THAT(
      refused("decides"),
      StartsWith(
          prefix + "the negative of the example, [2, 3] Float, got values"));
  CHECK_THAT(refused("draws"), StartsWith(prefix + "the example, [2, 3]"));
  CHECK_THAT(refused("counts"), StartsWith(prefix + "the example, [2, 3]"));
  CHECK_THAT(
      refused("sizes", {torch::rand({4, 3})}),
      StartsWith(
          "export_torch_script: expected a trace that runs on check 0 as the "
          "network does, got: "));
  CHECK_THROWS_AS(
      export_torch_script(std::make_shared<OddNet>("hidden"), input, file),
      c10::Error);

  auto net = std::make_shared<OddNet>("");
  net->train();
  CHECK(
      message_of<c10::ValueError>(
          [&] { export_torch_script(net, input, file); }) ==
      "export_torch_script: expected a network in eval mode, got one in "
      "training");
  CHECK_FALSE(std::filesystem::exists(file));
}
