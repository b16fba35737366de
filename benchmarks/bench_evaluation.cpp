// SPDX-License-Identifier: MIT
// Evaluating all paths of a chain of blocks, and all open sets of one gate: the
// library with and without stages, and what one would write by hand. Counters
// of the rows in stages:
//
//   peak_bytes   the most memory that tensors held at once, weights aside
//   bound_bytes  that of `plain`, and one activation a block or branch
#include "support/memory_peak.hpp"
#include "support/program.hpp"

#include <gatedpaths/gatedpaths.hpp>

#include <ATen/Parallel.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/utils.h>

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

namespace gp = gatedpaths;
namespace nn = torch::nn;

constexpr std::int64_t kChannels = 16;
constexpr std::int64_t kImage = 16;
constexpr std::int64_t kBatch = 8;
constexpr std::int64_t kClasses = 10;
constexpr std::int64_t kBranches = 3;

nn::Sequential conv_relu(std::int64_t from) {
  return nn::Sequential(
      nn::Conv2d(nn::Conv2dOptions(from, kChannels, 3).padding(1)), nn::ReLU());
}

torch::Tensor accuracy(
    const torch::Tensor& output, const torch::Tensor& target) {
  return output.argmax(1).eq(target).to(torch::kDouble).mean();
}

/// What the head makes of the last block's output.
torch::Tensor classify(nn::Linear& head, const torch::Tensor& x) {
  return head->forward(x.mean({2, 3}));
}

struct Chain : nn::Module {
  explicit Chain(int count) {
    stem = register_module("stem", conv_relu(3));
    for (int i = 0; i < count; ++i) {
      blocks.push_back(register_module(
          fmt::format("block{}", i),
          gp::ChoiceBlock(
              conv_relu(kChannels),
              conv_relu(kChannels),
              conv_relu(kChannels))));
    }
    head = register_module("head", nn::Linear(kChannels, kClasses));
  }

  torch::Tensor forward(const torch::Tensor& input) {
    auto x = stem->forward(input);
    for (auto& block : blocks) {
      x = block->forward(x);
    }
    return classify(head, x);
  }

  nn::Sequential stem = nullptr;
  std::vector<gp::ChoiceBlock<nn::Sequential>> blocks;
  nn::Linear head = nullptr;
};

/// One gate with every subset of its branches but the empty one.
struct Sets : nn::Module {
  explicit Sets(int count) {
    std::vector<gp::NamedBranch<nn::Sequential>> branches;
    for (int i = 0; i < count; ++i) {
      branches.emplace_back(fmt::format("b{}", i), conv_relu(kChannels));
    }
    stem = register_module("stem", conv_relu(3));
    gate = register_module(
        "gate",
        gp::ConcatGate<nn::Sequential>(
            gp::ConcatGateOptions(1).min_open(1), branches));
    head = register_module("head", nn::Linear(count * kChannels, kClasses));
  }

  torch::Tensor forward(const torch::Tensor& input) {
    return classify(head, gate->forward(stem->forward(input)));
  }

  nn::Sequential stem = nullptr;
  gp::ConcatGate<nn::Sequential> gate = nullptr;
  nn::Linear head = nullptr;
};

std::vector<gp::EvaluationBatch> make_batch() {
  torch::manual_seed(1);
  return {
      {at::randn({kBatch, 3, kImage, kImage}),
       at::randint(kClasses, {kBatch}, torch::kLong)}};
}

template <class Net>
class Evaluation {
 public:
  explicit Evaluation(int size) : net(made(size)), space(net) {
    at::set_num_threads(1);
    for (std::uint64_t i = 0; i < space.size(); ++i) {
      paths.push_back(space.at(i));
    }
  }

  std::vector<double> plain() { return evaluate({}); }

  std::vector<double> evaluate(const gp::EvaluateOptions& options) {
    std::vector<double> values;
    for (const auto& result :
         gp::evaluate(net, space, paths, batches, accuracy, options)) {
      values.push_back(result.values[0]);
    }
    return values;
  }

  std::vector<double> hand_plain() {
    const c10::InferenceMode inference;
    net.eval();
    std::vector<double> values;
    for (const auto& path : paths) {
      space.apply(path);
      values.push_back(accuracy(net.forward(batches[0].data), batches[0].target)
                           .template item<double>());
    }
    return values;
  }

  Net net;
  gp::PathSpace space;
  std::vector<gp::Path> paths;
  std::vector<gp::EvaluationBatch> batches = make_batch();

 private:
  static Net made(int size) {
    torch::manual_seed(0);
    return Net(size);
  }
};

class ChainEvaluation : public Evaluation<Chain> {
 public:
  using Evaluation::Evaluation;

  std::vector<double> stages() {
    std::vector<gp::Stage> all = {net.stem};
    for (auto& block : net.blocks) {
      all.emplace_back(block);
    }
    all.emplace_back(
        [this](const torch::Tensor& x) { return classify(net.head, x); });
    return evaluate(gp::EvaluateOptions().stages(all));
  }

  std::vector<double> hand() {
    const c10::InferenceMode inference;
    net.eval();
    std::vector<double> values;
    walk(net.stem->forward(batches[0].data), 0, values);
    return values;
  }

 private:
  void walk(
      const torch::Tensor& x, std::size_t block, std::vector<double>& values) {
    if (block == net.blocks.size()) {
      values.push_back(
          accuracy(classify(net.head, x), batches[0].target).item<double>());
      return;
    }
    for (std::int64_t i = 0; i < kBranches; ++i) {
      walk(net.blocks[block]->branch(i)->forward(x), block + 1, values);
    }
  }
};

class SetsEvaluation : public Evaluation<Sets> {
 public:
  using Evaluation::Evaluation;

  std::vector<double> stages() {
    return evaluate(gp::EvaluateOptions().stages(
        {net.stem, net.gate, [this](const torch::Tensor& x) {
           return classify(net.head, x);
         }}));
  }
};

/// One way of evaluating all paths.
template <class Work>
struct Form {
  std::string_view name;
  std::vector<double> (Work::*run)();
};

template <class Work>
bench::Group make_group(
    const std::string& topic,
    const std::string& setting,
    int size,
    const std::vector<Form<Work>>& forms,
    std::int64_t kept_bytes) {
  bench::Group group;
  group.check = [=] {
    Work work(size);
    const auto expected = (work.*forms.front().run)();
    for (const auto& form : forms) {
      TORCH_CHECK(
          (work.*form.run)() == expected,
          topic,
          "/",
          form.name,
          ": expected the same bits as ",
          forms.front().name);
    }
  };
  for (const auto& form : forms) {
    group.rows.push_back(
        {fmt::format("{}/{}/{}", topic, form.name, setting),
         [=](benchmark::State& state) {
           Work work(size);
           if (form.name == "stages") {
             state.counters["peak_bytes"] = static_cast<double>(
                 bench::peak_bytes([&] { (work.*form.run)(); }));
             state.counters["bound_bytes"] = static_cast<double>(
                 bench::peak_bytes([&] { work.plain(); }) + kept_bytes);
           }
           for (auto _ : state) {
             benchmark::DoNotOptimize((work.*form.run)());
           }
         },
         benchmark::kMillisecond});
  }
  return group;
}

std::vector<bench::Group> make_groups(const bench::Settings& settings) {
  const int blocks = settings.quick ? 2 : 6;
  const int branches = settings.quick ? 3 : 8;
  constexpr std::int64_t kActivation =
      kBatch * kChannels * kImage * kImage * sizeof(float);
  return {
      make_group<ChainEvaluation>(
          "evaluation",
          fmt::format("blocks:{}", blocks),
          blocks,
          {{"hand_plain", &ChainEvaluation::hand_plain},
           {"plain", &ChainEvaluation::plain},
           {"stages", &ChainEvaluation::stages},
           {"hand", &ChainEvaluation::hand}},
          blocks * kActivation),
      make_group<SetsEvaluation>(
          "evaluation_sets",
          fmt::format("branches:{}", branches),
          branches,
          {{"hand_plain", &SetsEvaluation::hand_plain},
           {"plain", &SetsEvaluation::plain},
           {"stages", &SetsEvaluation::stages}},
          branches * kActivation)};
}

}  // namespace

int main(int argc, char** argv) {
  bench::keep_freed_memory();
  return bench::run_program(
      argc, argv, make_groups, {.repetitions = 7, .seconds = 0.001});
}
