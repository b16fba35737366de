// SPDX-License-Identifier: MIT
#include <gatedpaths/training/recalibrate_batch_norm.hpp>

#include <gatedpaths/branches/detail/no_trace.hpp>
#include <gatedpaths/gates/gated_module.hpp>

#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>
#include <torch/nn/modules/batchnorm.h>

#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

namespace gatedpaths::detail {

// A norm of any dimension, and what it held before.
struct MeasuredNorm {
  torch::nn::Module* module;
  torch::nn::BatchNormOptions* options;
  std::optional<double> momentum;
  std::vector<at::Tensor> live;  // mean, variance, number of batches
  std::vector<at::Tensor> kept;

  void restore_statistics() const {
    for (size_t i = 0; i < live.size(); ++i) {
      live[i].copy_(kept[i]);
    }
  }
  bool has_run() const { return live.back().item<double>() > 0; }
};

namespace {

template <class Impl>
std::optional<MeasuredNorm> as_norm(torch::nn::Module& module) {
  auto* norm = dynamic_cast<Impl*>(&module);
  if (norm == nullptr || !norm->options.track_running_stats() ||
      !norm->running_mean.defined()) {
    return std::nullopt;
  }
  MeasuredNorm measured{
      .module = norm,
      .options = &norm->options,
      .momentum = norm->options.momentum(),
      .live =
          {norm->running_mean, norm->running_var, norm->num_batches_tracked},
      .kept = {}};
  for (const auto& tensor : measured.live) {
    measured.kept.push_back(tensor.clone());
  }
  return measured;
}

std::optional<MeasuredNorm> as_any_norm(torch::nn::Module& module) {
  if (auto norm = as_norm<torch::nn::BatchNorm1dImpl>(module)) {
    return norm;
  }
  if (auto norm = as_norm<torch::nn::BatchNorm2dImpl>(module)) {
    return norm;
  }
  return as_norm<torch::nn::BatchNorm3dImpl>(module);
}

// Finds the norms that lie in no closed branch.
class NormSearch {
 public:
  std::vector<MeasuredNorm> run(torch::nn::Module& root) {
    visit(root, nullptr);
    return std::move(found_);
  }

 private:
  // The branches of the gate around, while outside of all of them; whether any
  // that has the module is open.
  using Branches = std::unordered_map<const torch::nn::Module*, bool>;

  void visit(torch::nn::Module& module, const Branches* branches) {
    if (auto norm = as_any_norm(module);
        norm && norms_.insert(&module).second) {
      found_.push_back(*std::move(norm));
    }
    Branches own;
    if (const auto* gate = dynamic_cast<const GatedModule*>(&module)) {
      for (int64_t i = 0; i < gate->num_branches(); ++i) {
        own.emplace(&gate->branch_module(i), false);
      }
      for (const int64_t i : gate->applied_branches()) {
        own[&gate->branch_module(i)] = true;
      }
      branches = &own;
    }
    for (const auto& child : module.children()) {
      const auto branch = branches == nullptr ? Branches::const_iterator()
                                              : branches->find(child.get());
      if (branches == nullptr || branch == branches->end()) {
        visit(*child, branches);
      } else if (branch->second) {
        visit(*child, nullptr);
      }
    }
  }

  std::vector<MeasuredNorm> found_;
  std::set<const torch::nn::Module*> norms_;
};

}  // namespace

struct BatchNormMeasurement::State {
  explicit State(torch::nn::Module& root)
      : eval(root), norms(NormSearch().run(root)) {
    for (const MeasuredNorm& norm : norms) {
      norm.live[0].zero_();
      norm.live[1].fill_(1);
      norm.live[2].zero_();
      norm.options->momentum(std::nullopt);
      norm.module->train();
    }
  }
  ~State() {
    for (const MeasuredNorm& norm : norms) {
      norm.options->momentum(norm.momentum);
      if (!finished) {
        norm.restore_statistics();
      }
    }
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  at::NoGradGuard no_grad;
  EvalScope eval;
  std::vector<MeasuredNorm> norms;
  bool finished = false;
};

BatchNormMeasurement::BatchNormMeasurement(torch::nn::Module& root)
    : state_(std::make_unique<State>(root)) {}

BatchNormMeasurement::~BatchNormMeasurement() = default;

int64_t BatchNormMeasurement::finish() {
  TORCH_CHECK_VALUE(
      batches_ > 0,
      "recalibrate_batch_norm: expected at least one batch, got none");
  int64_t measured = 0;
  for (const MeasuredNorm& norm : state_->norms) {
    if (norm.has_run()) {
      ++measured;
    } else {
      norm.restore_statistics();
    }
  }
  state_->finished = true;
  return measured;
}

}  // namespace gatedpaths::detail
