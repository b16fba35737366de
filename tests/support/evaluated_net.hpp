// SPDX-License-Identifier: MIT
// A network in stages, small enough to evaluate every path of.
#pragma once

#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/search/path_metric.hpp>
#include <gatedpaths/search/stage.hpp>

#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "support/counting_child.hpp"

namespace gatedpaths::test {

/// A stem, blocks of three branches each, and a head, `[N, 4]` -> `[N, 2]`.
/// The norms have seen other data.
struct StagedNet : torch::nn::Module {
  explicit StagedNet(size_t count) {
    torch::manual_seed(5);
    stem = register_module("stem", counted());
    for (size_t i = 0; i < count; ++i) {
      blocks.push_back(register_module("block" + std::to_string(i), block()));
    }
    head = register_module("head", torch::nn::Linear(4, 2));
    for (uint64_t i = 0; i < 3; ++i) {
      PathSpace space(*this);
      space.apply(space.at(i * (space.size() - 1) / 2));
      forward(torch::randn({8, 4}) + 1);
    }
    clear();
  }

  torch::Tensor forward(const torch::Tensor& x) {
    ++forwards;
    torch::Tensor y = stem->forward(x);
    for (auto& block : blocks) {
      y = block->forward(y);
    }
    return head->forward(y);
  }

  std::vector<Stage> stages() {
    std::vector<Stage> all = {stem};
    for (auto& block : blocks) {
      all.emplace_back(block);
    }
    all.emplace_back(head);
    return all;
  }

  /// All calls of the branches of one block.
  int64_t runs(size_t block) const {
    int64_t sum = 0;
    for (size_t i = block * 3; i < block * 3 + 3; ++i) {
      sum += logs[i]->log.size();
    }
    return sum;
  }

  void clear() {
    forwards = 0;
    for (auto& log : logs) {
      log->log.clear();
    }
    stem_log->log.clear();
  }

  torch::nn::Sequential counted() {
    stem_log = FunctionChild([](const torch::Tensor& x) { return x.tanh(); });
    return torch::nn::Sequential(torch::nn::Linear(4, 4), stem_log);
  }

  ChoiceBlock<> block() {
    std::vector<NamedBranch<>> branches;
    for (const char* name : {"a", "b", "c"}) {
      logs.push_back(
          FunctionChild([](const torch::Tensor& x) { return x.sigmoid(); }));
      branches.emplace_back(
          name,
          torch::nn::Sequential(
              torch::nn::Linear(4, 4), torch::nn::BatchNorm1d(4), logs.back()));
    }
    return ChoiceBlock<>(branches);
  }

  torch::nn::Sequential stem = nullptr;
  FunctionChild stem_log = nullptr;
  std::vector<ChoiceBlock<>> blocks;
  std::vector<FunctionChild> logs;
  torch::nn::Linear head = nullptr;
  int64_t forwards = 0;
};

inline std::vector<Path> all_paths(const PathSpace& space) {
  std::vector<Path> paths;
  for (uint64_t i = 0; i < space.size(); ++i) {
    paths.push_back(space.at(i));
  }
  return paths;
}

/// Batches of different sizes, `[N, 4]` with targets `[N, 2]`.
inline std::vector<EvaluationBatch> small_batches() {
  torch::manual_seed(6);
  std::vector<EvaluationBatch> batches;
  for (const int64_t samples : {8, 3}) {
    batches.emplace_back(
        torch::randn({samples, 4}), torch::randn({samples, 2}));
  }
  return batches;
}

}  // namespace gatedpaths::test
