// SPDX-License-Identifier: MIT
#include "nas_bench_201/net.hpp"

#include "nas_bench_201/architecture.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"

#include <gatedpaths/exchange/derive.hpp>
#include <gatedpaths/learning/mixture_estimator.hpp>
#include <gatedpaths/learning/path_logits.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/paths/uniform_sampler.hpp>
#include <gatedpaths/search/cost_model.hpp>
#include <gatedpaths/search/evaluate.hpp>

#include <c10/util/StringUtil.h>
#include <torch/types.h>

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace nas_bench_201 {

namespace gp = gatedpaths;
namespace test = gatedpaths::test;

namespace {

constexpr auto kBestText =
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|"
    "nor_conv_3x3~1|nor_conv_3x3~2|";

/// What is published of a net on CIFAR-10, CIFAR-100 and ImageNet16-120, in
/// millions, with the digits there; "" where nothing was found.
struct Published {
  std::string architecture;
  std::array<std::string, 3> parameters;
  std::array<std::string, 3> flops;
};

const std::vector<Published> kPublished = {
    // The net of NATS-Bench's size space (D-X-Y/NATS-Bench, main-sss.py), as
    // NAS-Bench-201's API shows it.
    {kBestText, {"1.289", "1.294", "1.296"}, {"184.73", "184.74", "46.19"}},
    // D-X-Y/NATS-Bench, issue 18.
    {"|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|"
     "nor_conv_3x3~1|skip_connect~2|",
     {"0.802", "0.808", "0.810"},
     {"113.95", "113.96", "28.50"}},
    // D-X-Y/NATS-Bench, issue 36.
    {"|skip_connect~0|+|none~0|nor_conv_3x3~1|+|avg_pool_3x3~0|"
     "nor_conv_3x3~1|nor_conv_3x3~2|",
     {"0.802426", "", ""},
     {"113.95137", "", ""}},
    // D-X-Y/NATS-Bench, fake_torch_dir/NATS-tss-v1_0-3ffb9-simple: 000000
    // (FLOPs in issue 24, too), 000011, 000284.
    {"|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|"
     "skip_connect~1|skip_connect~2|",
     {"0.129306", "", ""},
     {"15.64737", "15.65322", "3.91948"}},
    {"|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|none~0|"
     "nor_conv_3x3~1|avg_pool_3x3~2|",
     {"0.802426", "", ""},
     {"113.95137", "113.95722", "28.49548"}},
    {"|skip_connect~0|+|skip_connect~0|skip_connect~1|+|none~0|"
     "nor_conv_1x1~1|none~2|",
     {"0.101306", "", ""},
     {"11.71521", "11.72106", "2.93644"}},
};

/// The number in millions, with as many digits as `like`.
std::string millions_like(const std::string& like, std::int64_t number) {
  const auto digits = like.size() - like.find('.') - 1;
  return fmt::format("{:.{}f}", static_cast<double>(number) / 1e6, digits);
}

gp::CostModel cost_of(Net& net, const gp::PathSpace& space, int64_t size) {
  return gp::CostModel::measure(
      net,
      space,
      torch::zeros({1, 3, size, size}),
      gp::CostOptions().activations(false));
}

/// What the operations of a net compute, written out once more, with the
/// weights that the net has under their names.
class Reference {
 public:
  Reference(const Net& net, Cell cell)
      : weights_(net->named_parameters()),
        buffers_(net->named_buffers()),
        cell_(cell) {}

  torch::Tensor forward(const torch::Tensor& images) const {
    auto x = norm("stem.1", conv("stem.0", images));
    for (int i = 0; i < 6; ++i) {  // two cells a stage
      if (i == 2 || i == 4) {
        x = reduce(i / 2 - 1, x);
      }
      x = run_cell(i, x);
    }
    x = torch::relu(norm("head.0", x)).mean({2, 3});
    return torch::addmm(
        weights_["head.4.bias"], x, weights_["head.4.weight"].t());
  }

 private:
  torch::Tensor run_cell(int number, const torch::Tensor& x) const {
    const auto n1 = operation(0, number, x);
    const auto n2 = operation(1, number, x) + operation(2, number, n1);
    return operation(3, number, x) + operation(4, number, n1) +
           operation(5, number, n2);
  }

  torch::Tensor operation(
      size_t edge, int number, const torch::Tensor& x) const {
    const std::array<std::string, 6> gates = {
        "edge_0_1", "edge_0_2", "edge_1_2", "edge_0_3", "edge_1_3", "edge_2_3"};
    switch (cell_[edge]) {
      case 0:
        return x * 0;
      case 1:
        return x;
      case 4: {
        // The mean over what lies in the image.
        const auto ones = torch::ones_like(x);
        return torch::avg_pool2d(x, 3, 1, 1) / torch::avg_pool2d(ones, 3, 1, 1);
      }
      default:
        const std::string name =
            cell_[edge] == 2 ? "nor_conv_1x1" : "nor_conv_3x3";
        const auto at =
            gates[edge] + "." + name + "." + std::to_string(number) + ".";
        return norm(at + "2", conv(at + "1", torch::relu(x)));
    }
  }

  torch::Tensor reduce(int number, const torch::Tensor& x) const {
    const auto at = "reductions." + std::to_string(number) + ".";
    auto y = conv(at + "layers.1", torch::relu(x), 2);
    y = torch::relu(norm(at + "layers.2", y));
    y = norm(at + "layers.5", conv(at + "layers.4", y));
    return y + conv(at + "shortcut.1", torch::avg_pool2d(x, 2, 2));
  }

  torch::Tensor conv(
      const std::string& name,
      const torch::Tensor& x,
      int64_t stride = 1) const {
    const auto& weight = weights_[name + ".weight"];
    CHECK_FALSE(weights_.contains(name + ".bias"));
    return torch::conv2d(x, weight, {}, stride, weight.size(2) / 2);
  }

  torch::Tensor norm(const std::string& name, const torch::Tensor& x) const {
    const auto along = [](const torch::Tensor& values) {
      return values.reshape({1, -1, 1, 1});
    };
    const auto scale = weights_[name + ".weight"] /
                       (buffers_[name + ".running_var"] + 1e-5).sqrt();
    return (x - along(buffers_[name + ".running_mean"])) * along(scale) +
           along(weights_[name + ".bias"]);
  }

  torch::OrderedDict<std::string, torch::Tensor> weights_;
  torch::OrderedDict<std::string, torch::Tensor> buffers_;
  Cell cell_;
};

/// A small net whose batch norms do something.
Net small_net() {
  Net net(NetOptions{.channels = 4, .cells = 2, .classes = 7});
  const torch::NoGradGuard no_grad;
  for (auto& item : net->named_buffers()) {
    if (item.value().is_floating_point()) {
      item.value().uniform_(0.5, 1.5);
    }
  }
  for (auto& parameter : net->parameters()) {
    if (parameter.dim() == 1) {
      parameter.uniform_(0.5, 1.5);
    }
  }
  net->eval();
  return net;
}

}  // namespace

TEST_CASE("NAS-Bench-201: the space of a net is the layout, for any options") {
  for (const auto& options :
       {NetOptions{.channels = 1, .cells = 1, .classes = 1},
        NetOptions{.channels = 3, .cells = 4}}) {
    const Net net(options);
    const gp::PathSpace space(net);
    CHECK(*space.layout() == *layout());
    CHECK(space.hash() == layout()->hash());
    CHECK(path_of(*space.layout(), kBestText) == path_of(*layout(), kBestText));
  }
}

TEST_CASE("NAS-Bench-201: parameters and FLOPs are the published ones") {
  const std::array<int64_t, 3> classes = {10, 100, 120};
  for (size_t data = 0; data < classes.size(); ++data) {
    Net net(NetOptions{.classes = classes[data]});
    const gp::PathSpace space(net);
    const auto cost = cost_of(net, space, classes[data] == 120 ? 16 : 32);
    CHECK(cost.is_additive(gp::CostKind::kParameters));
    CHECK(cost.is_additive(gp::CostKind::kMacs));
    CHECK(cost.unknown_operators().empty());
    for (const auto& net_of : kPublished) {
      CAPTURE(net_of.architecture, classes[data]);
      const auto of = cost.of(path_of(*space.layout(), net_of.architecture));
      if (const auto& parameters = net_of.parameters[data];
          !parameters.empty()) {
        CHECK(millions_like(parameters, of.parameters) == parameters);
      }
      if (const auto& flops = net_of.flops[data]; !flops.empty()) {
        CHECK(millions_like(flops, net->published_flops(of)) == flops);
      }
    }
  }
}

TEST_CASE("NAS-Bench-201: a net computes what the benchmark says") {
  torch::manual_seed(3);
  auto net = small_net();
  const gp::PathSpace space(net);
  const torch::NoGradGuard no_grad;
  const auto images = torch::randn({2, 3, 12, 16});
  // Each operation on each edge, and two cells more.
  const std::vector<Cell> cells = {
      {0, 1, 2, 3, 4, 3},
      {1, 2, 3, 4, 0, 1},
      {2, 3, 4, 0, 1, 2},
      {3, 4, 0, 1, 2, 0},
      {4, 0, 1, 2, 3, 4},
      {0, 0, 0, 0, 0, 0},
      {3, 3, 3, 3, 3, 3}};
  for (const auto& cell : cells) {
    CAPTURE(architecture(cell));
    const auto path = path_of(*space.layout(), architecture(cell));
    space.apply(path);
    const auto output = net->forward(images);
    CHECK(output.sizes() == c10::IntArrayRef({2, 7}));
    CHECK(torch::allclose(
        output, Reference(net, cell).forward(images), 1e-4, 1e-4));
    // The net of this path alone, and a copy, are the same function.
    auto alone = gp::derive(net, space, path);
    CHECK(torch::equal(alone->forward(images), output));
    const auto copy = std::dynamic_pointer_cast<NetImpl>(net->clone());
    gp::PathSpace(*copy).apply(path);
    CHECK(torch::equal(copy->forward(images), output));
  }
}

TEST_CASE("NAS-Bench-201: what the net of one path holds is what it costs") {
  Net net(NetOptions{.channels = 4, .cells = 2});
  const gp::PathSpace space(net);
  const auto cost = cost_of(net, space, 8);
  gp::UniformSampler sampler(space, /*seed=*/5);
  for (int i = 0; i < 5; ++i) {
    const auto path = sampler.next();
    int64_t numbers = 0;
    for (const auto& parameter : gp::derive(net, space, path)->parameters()) {
      numbers += parameter.numel();
    }
    CHECK(cost.of(path).parameters == numbers);
  }
}

TEST_CASE(
    "NAS-Bench-201: a training step is one of all cells, and of no more") {
  torch::manual_seed(4);
  Net net(NetOptions{.channels = 4, .cells = 2});
  const gp::PathSpace space(net);
  space.apply(path_of(*space.layout(), architecture(Cell{3, 1, 2, 0, 4, 3})));
  net->forward(torch::randn({2, 3, 8, 8})).sum().backward();
  int open = 0;
  for (const auto& item : net->named_parameters()) {
    const auto& name = item.key();
    if (name.starts_with("edge_")) {
      const bool is_open = name.starts_with("edge_0_1.nor_conv_3x3.") ||
                           name.starts_with("edge_1_2.nor_conv_1x1.") ||
                           name.starts_with("edge_2_3.nor_conv_3x3.");
      CAPTURE(name);
      CHECK(item.value().grad().defined() == is_open);
      open += is_open ? 1 : 0;
    } else {
      CHECK(item.value().grad().defined());
    }
  }
  CHECK(open == 3 * 6 * 3);  // edges, cells, a convolution and a norm's two
}

TEST_CASE("NAS-Bench-201: paths of the net are evaluated") {
  torch::manual_seed(6);
  auto net = small_net();
  const gp::PathSpace space(net);
  std::vector<gp::Path> paths;
  for (const uint64_t i : {0, 1, 7'777, 15'624}) {
    paths.push_back(space.at(i));
  }
  const auto images = torch::randn({3, 3, 8, 8});
  const std::vector<gp::EvaluationBatch> batches = {
      {images, torch::zeros({3}, torch::kLong)}};
  const gp::PathMetric sum(
      "sum", [](const torch::Tensor& output, const torch::Tensor&) {
        return output.to(torch::kDouble).sum();
      });
  const auto results = gp::evaluate(net, space, paths, batches, sum);
  REQUIRE(results.size() == paths.size());
  const torch::NoGradGuard no_grad;
  for (const auto& result : results) {
    space.apply(result.path);
    CHECK(
        result.values[0] ==
        net->forward(images).to(torch::kDouble).sum().item<double>());
  }
}

TEST_CASE("NAS-Bench-201: logits learn from each cell that a gate runs in") {
  torch::manual_seed(8);
  auto net = small_net();
  net->to(torch::kDouble);
  net->train();
  const gp::PathSpace space(net);
  gp::PathLogits logits(space);
  logits->to(torch::kDouble);
  gp::MixtureEstimator estimator(logits, space, /*seed=*/1);
  const auto images = torch::randn({4, 3, 8, 8}, torch::kDouble);
  const auto objective = [&] {
    estimator.apply();
    return estimator.objective(net->forward(images).square().mean());
  };
  objective().backward();
  estimator.finish_step();
  constexpr double kStep = 1e-5;
  for (auto& gate : logits->parameters()) {
    double change = 0;
    for (const double sign : {1.0, -1.0}) {
      gate.data()[3] += sign * kStep;
      change += sign * objective().item<double>();
      estimator.finish_step();
      gate.data()[3] -= sign * kStep;
    }
    const auto gradient = gate.grad()[3].item<double>();
    CHECK(std::abs(gradient) > 1e-6);
    CHECK(std::abs(change / (2 * kStep) - gradient) < 1e-6);
  }
}

TEST_CASE(
    "NAS-Bench-201: images that a net cannot take are refused", "[error]") {
  Net net(NetOptions{.channels = 1, .cells = 1});
  for (const std::vector<std::int64_t>& sizes :
       std::vector<std::vector<std::int64_t>>{
           {3, 8, 8}, {2, 1, 8, 8}, {2, 3, 10, 8}, {2, 3, 8, 9}}) {
    const auto images = torch::zeros(sizes);
    CHECK(
        test::message_of<c10::ValueError>([&] { net->forward(images); }) ==
        "nas_bench_201::Net::forward: expected [N, 3, H, W] with multiples of "
        "4 "
        "as H and W, got " +
            c10::str(images.sizes()));
  }
}

TEST_CASE("NAS-Bench-201: options that make no net are refused", "[error]") {
  const auto refusal = [](const NetOptions& options) {
    return test::message_of<c10::ValueError>([&] { Net net(options); });
  };
  CHECK(
      refusal({.channels = 0}) ==
      "nas_bench_201::Net: expected channels from 1 to 100000, got 0");
  CHECK(
      refusal({.cells = -1}) ==
      "nas_bench_201::Net: expected cells from 1 to 100000, got -1");
  CHECK(
      refusal({.classes = 0}) ==
      "nas_bench_201::Net: expected classes from 1 to 100000, got 0");
  CHECK(
      refusal({.channels = std::numeric_limits<std::int64_t>::max()}) ==
      "nas_bench_201::Net: expected channels from 1 to 100000, got "
      "9223372036854775807");
  const auto no_operation = [](std::int64_t number) {
    return test::message_of<c10::IndexError>(
        [&] { Operation(number, std::vector<std::int64_t>{4}); });
  };
  CHECK(
      no_operation(5) ==
      "nas_bench_201::Operation: expected an operation from 0 to 4, got 5");
  CHECK(no_operation(-1).ends_with(", got -1"));
  Operation operation(3, std::vector<std::int64_t>{4, 8});
  CHECK(test::message_of<c10::IndexError>([&] {
          operation->set_cell(2);
        }) == "nas_bench_201::Operation: expected a cell from 0 to 1, got 2");
}

}  // namespace nas_bench_201
