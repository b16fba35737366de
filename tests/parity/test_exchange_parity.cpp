// SPDX-License-Identifier: MIT
// Files that Python reads and writes, with its own packages.
#include <gatedpaths/exchange/safetensors.hpp>
#include <gatedpaths/exchange/torch_script.hpp>
#include <gatedpaths/gates/choice_block.hpp>

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <memory>
#include <string>
#include <vector>

#include "parity/python.hpp"
#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/path_net.hpp"
#include "support/safetensors_dtypes.hpp"
#include "support/tensors.hpp"

namespace gp = gatedpaths;
namespace nn = torch::nn;

using gp::load_safetensors;
using gp::save_safetensors;
using gp::test::bit_equal;
using gp::test::largest_difference;
using gp::test::need_safetensors;
using gp::test::quoted;
using gp::test::run_python;
using gp::test::TemporaryFolder;

namespace {

torch::Tensor bytes_of(const torch::Tensor& tensor) {
  return tensor.contiguous().flatten().view(at::kByte);
}

// The net of exchange.py, whose second block is a choice that can be left out.
struct BlockImpl : nn::Module {
  BlockImpl() {
    conv1 = register_module(
        "conv1", nn::Conv2d(nn::Conv2dOptions(4, 4, 3).padding(1).bias(false)));
    bn1 = register_module("bn1", nn::BatchNorm2d(4));
  }
  torch::Tensor forward(const torch::Tensor& x) {
    return x + bn1->forward(conv1->forward(x)).relu();
  }
  nn::Conv2d conv1 = nullptr;
  nn::BatchNorm2d bn1 = nullptr;
};
TORCH_MODULE(Block);

struct GatedResNet : nn::Module {
  GatedResNet() {
    conv1 = register_module("conv1", gp::test::same_conv(3, 4, 3));
    // Its branches are called as the blocks of a Sequential are in PyTorch.
    layer1 = register_module(
        "layer1",
        gp::ChoiceBlock<Block>(
            gp::ChoiceBlockOptions().max_open(2), Block(), Block()));
    fc = register_module("fc", gp::SlotLinear(gp::SlotLinearOptions({144}, 5)));
  }
  nn::Conv2d conv1 = nullptr;
  gp::ChoiceBlock<Block> layer1 = nullptr;
  gp::SlotLinear fc = nullptr;
};

}  // namespace

TEST_CASE(
    "safetensors: what Python writes is read, and loads into gates",
    "[parity][safetensors]") {
  need_safetensors();
  const TemporaryFolder folder;
  const auto file = folder / "net.safetensors";
  REQUIRE(run_python("write-safetensors " + quoted(file)) == 0);
  CHECK(
      gp::safetensors_metadata(file) ==
      gp::SafetensorsMetadata{{"format", "pt"}});

  auto net = std::make_shared<GatedResNet>();
  gp::slots_from_dense(net, load_safetensors(file));
  net->eval();
  const auto io = load_safetensors(folder / "net.safetensors.io");
  auto x = net->conv1->forward(io["x"]);
  x = net->layer1->branch(0)->forward(x);
  x = net->layer1->branch(1)->forward(x);
  const auto y =
      torch::linear(x.flatten(1), net->fc->weights.front(), net->fc->bias);
  CHECK(largest_difference(y, io["y"]) <= 1e-5);
  CHECK(net->layer1->branch(1)->bn1->num_batches_tracked.item<int>() == 1);

  const auto all = load_safetensors(folder / "net.safetensors.all");
  CHECK(all.size() == 18);
  for (const auto& item : all) {
    CAPTURE(item.key());
    const auto expected =
        torch::arange(6).reshape({2, 3}).to(item.value().scalar_type());
    CHECK(bit_equal(bytes_of(item.value()), bytes_of(expected)));
  }
}

TEST_CASE(
    "safetensors: what is written here Python reads", "[parity][safetensors]") {
  need_safetensors();
  const TemporaryFolder folder;
  const auto file = folder / "all.safetensors";
  gp::StateDict tensors;
  for (const auto dtype : gatedpaths::test::kSafetensorsDtypes) {
    tensors.insert(
        std::string("a.0.\u00e9 ") + c10::toString(dtype),
        torch::arange(6).reshape({3, 2}).t().to(dtype));
  }
  save_safetensors(file, tensors, {{"format", "pt"}, {"note", "\u00e9"}});
  REQUIRE(run_python("read-safetensors " + quoted(file)) == 0);
  const auto text = gp::test::read_file(folder / "all.safetensors.pt");
  const auto read =
      torch::pickle_load(std::vector<char>(text.begin(), text.end()))
          .toGenericDict();
  REQUIRE(read.size() == tensors.size());
  for (const auto& item : tensors) {
    CAPTURE(item.key());
    CHECK(bit_equal(read.at(item.key()).toTensor(), bytes_of(item.value())));
  }
}

TEST_CASE(
    "export_path: Python runs the file to the same outputs",
    "[parity][torch_script]") {
  need_safetensors();
  const TemporaryFolder folder;
  const auto file = folder / "net.pt";
  gp::test::PathNet net;
  net->forward(torch::randn({4, 3, 6, 6}));
  const gp::PathSpace space(net);
  const auto path = space.parse(
      "stem=norm+inner;stem.inner.0=y;wide=b+c;residual=branch;dense=e;tail=1");
  gp::export_path(net, path, torch::randn({2, 3, 6, 6}), file);
  gp::StateDict inputs;
  inputs.insert("x", torch::randn({5, 3, 6, 6}));
  save_safetensors(folder / "x.safetensors", inputs);
  REQUIRE(
      run_python("run-script " + quoted(file) + quoted(folder.path())) == 0);
  const auto outputs = load_safetensors(folder / "y.safetensors");
  auto derived = gp::derive(net, path);
  derived->eval();
  CHECK(
      largest_difference(outputs["y"], derived->forward(inputs["x"])) <= 1e-6);
  for (const auto& item : derived->named_parameters()) {
    CAPTURE(item.key());
    REQUIRE(outputs.contains(item.key()));
    CHECK(bit_equal(outputs[item.key()], item.value().detach()));
  }
}
