// SPDX-License-Identifier: MIT
#include <gatedpaths/training/recalibrate_batch_norm.hpp>

#include <gatedpaths/branches/detail/no_trace.hpp>

#include "../branches/sum_dtype.hpp"
#include "../branches/tensor_memory.hpp"
#include "../gates/gate_walk.hpp"

#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>
#include <torch/nn/modules/batchnorm.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string>
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
  std::vector<at::Tensor> own = {};         // memory of `live`, where wide
  std::vector<at::Tensor*> affine = {};     // weight and bias
  std::vector<at::Tensor> own_affine = {};  // where wide
  std::string name = {};                    // dotted

  // In a reduced dtype a count of batches ends at 256 or 2048, and a mean of
  // many batches takes no more in: they are counted in integers, averaged in
  // float. Norms take weights of the statistics' dtype only.
  void widen() {
    const auto is_wide = [](const at::Tensor& tensor) {
      return !is_reduced(tensor.scalar_type());
    };
    if (std::all_of(live.begin(), live.end(), is_wide)) {
      return;
    }
    for (size_t i = 0; i < live.size(); ++i) {
      const auto dtype = live[i].scalar_type();
      own.push_back(live[i].detach());
      live[i].set_data(own[i].to(
          i == 2 && is_reduced(dtype) ? at::kLong : sum_dtype(dtype)));
    }
    // Other tensors in their places: hooks and optimizers know the parameters.
    for (at::Tensor* tensor : affine) {
      own_affine.push_back(*tensor);
      if (tensor->defined()) {
        *tensor = tensor->detach().to(sum_dtype(tensor->scalar_type()));
      }
    }
  }
  // Back to its own dtypes, with the numbers as they are.
  void narrow() {
    for (size_t i = 0; i < own.size(); ++i) {
      own[i].copy_(live[i]);
      live[i].set_data(own[i]);
    }
    own.clear();
    for (size_t i = 0; i < own_affine.size(); ++i) {
      *affine[i] = own_affine[i];
    }
    own_affine.clear();
  }
  void restore_statistics() const {
    for (size_t i = 0; i < live.size(); ++i) {
      live[i].copy_(kept[i]);
    }
  }
  bool has_run() const { return live.back().item<double>() > 0; }
};

// Whether a module is in training while norms are measured.
struct ModuleMode {
  const torch::nn::Module* module;
  std::string name;
  bool is_training;
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
      .kept = {},
      .affine = {&norm->weight, &norm->bias}};
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

void check_writable(const MeasuredNorm& norm) {
  for (const at::Tensor& tensor : norm.live) {
    TORCH_CHECK_VALUE(
        !is_locked(tensor) && !is_expanded(tensor),
        "recalibrate_batch_norm: expected statistics that can be written, got ",
        is_locked(tensor) ? "an inference tensor" : "an expanded tensor",
        " in norm '",
        norm.name,
        "'");
  }
}

// At the end, not after each batch: each look waits for a GPU.
void check_measured_finite(const MeasuredNorm& norm, int64_t batches) {
  TORCH_CHECK_VALUE(
      (norm.live[0].isfinite() & norm.live[1].isfinite()).all().item<bool>(),
      "recalibrate_batch_norm: expected finite inputs, got a mean or variance "
      "that is inf or nan in norm '",
      norm.name,
      "' after ",
      batches,
      " batches");
}

void collect_modes_below(
    const torch::nn::Module& module,
    const std::string& name,
    std::vector<ModuleMode>& modes) {
  modes.push_back({&module, name.empty() ? "." : name, module.is_training()});
  for (const auto& child : module.named_children()) {
    if (child.value() != nullptr) {
      collect_modes_below(
          *child.value(),
          name.empty() ? child.key() : name + "." + child.key(),
          modes);
    }
  }
}

void check_part(const torch::nn::Module& root, const torch::nn::Module& part) {
  std::vector<ModuleMode> modules;
  collect_modes_below(root, "", modules);
  TORCH_CHECK_VALUE(
      std::any_of(
          modules.begin(),
          modules.end(),
          [&](const ModuleMode& mode) { return mode.module == &part; }),
      "recalibrate_batch_norm: expected `part` to be a module of the network "
      "'",
      root.name(),
      "', got another one, '",
      part.name(),
      "'");
}

// The norms that lie in no closed branch.
std::vector<MeasuredNorm> find_norms(torch::nn::Module& root) {
  struct Reached {};
  std::vector<MeasuredNorm> found;
  std::set<const torch::nn::Module*> norms;
  walk_gates(
      root,
      Reached(),
      [&](const WalkedModule& at, Reached) {
        if (auto norm = as_any_norm(at.module);
            norm && norms.insert(&at.module).second) {
          norm->name = at.name.empty() ? "." : at.name;
          check_writable(*norm);
          found.push_back(*std::move(norm));
        }
        return true;
      },
      [](const GatedModule& gate, int64_t branch, Reached) {
        const auto open = gate.applied_branches();
        return std::binary_search(open.begin(), open.end(), branch)
                   ? std::optional(Reached())
                   : std::nullopt;
      });
  return found;
}

}  // namespace

struct BatchNormMeasurement::State {
  State(torch::nn::Module& root, torch::nn::Module& part)
      : eval(root), norms(find_norms(part)), is_part(&root != &part) {}
  // Not in the constructor: what it has done is undone where it throws.
  void start(torch::nn::Module& root) {
    for (MeasuredNorm& norm : norms) {
      norm.widen();
      norm.live[0].zero_();
      norm.live[1].fill_(1);
      norm.live[2].zero_();
      norm.options->momentum(std::nullopt);
      norm.module->train();
    }
    collect_modes_below(root, "", modes);
  }
  ~State() {
    for (MeasuredNorm& norm : norms) {
      norm.options->momentum(norm.momentum);
      norm.narrow();
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
  std::vector<ModuleMode> modes;
  bool is_part;
  bool finished = false;
};

BatchNormMeasurement::BatchNormMeasurement(
    torch::nn::Module& root, torch::nn::Module& part) {
  check_part(root, part);
  state_ = std::make_unique<State>(root, part);
  state_->start(root);
}

BatchNormMeasurement::~BatchNormMeasurement() = default;

void BatchNormMeasurement::add_batch() {
  for (const ModuleMode& mode : state_->modes) {
    TORCH_CHECK_VALUE(
        mode.module->is_training() == mode.is_training,
        "recalibrate_batch_norm: expected `run` to leave the modes of modules "
        "as they are, got '",
        mode.name,
        "' in ",
        mode.is_training ? "eval" : "training",
        " mode after batch ",
        batches_);
  }
  ++batches_;
}

int64_t BatchNormMeasurement::finish() {
  const size_t norms = state_->norms.size();
  const size_t ran = finish_part().size();
  TORCH_CHECK_VALUE(
      norms == 0 || ran > 0,
      "recalibrate_batch_norm: expected `run` to run norms of `",
      state_->is_part ? "part" : "root",
      "` in training mode, got none that ran of ",
      norms);
  return static_cast<int64_t>(ran);
}

std::vector<BatchNormMeasurement::Norm> BatchNormMeasurement::finish_part() {
  TORCH_CHECK_VALUE(
      batches_ > 0,
      "recalibrate_batch_norm: expected at least one batch, got none");
  std::vector<Norm> ran;
  std::vector<const MeasuredNorm*> idle;
  for (const MeasuredNorm& norm : state_->norms) {
    if (norm.has_run()) {
      check_measured_finite(norm, batches_);
      ran.push_back({norm.module, norm.name});
    } else {
      idle.push_back(&norm);
    }
  }
  for (MeasuredNorm& norm : state_->norms) {
    norm.narrow();
  }
  for (const MeasuredNorm* norm : idle) {
    norm->restore_statistics();
  }
  for (const MeasuredNorm& norm : state_->norms) {
    if (norm.momentum) {
      norm.live[2].copy_(norm.kept[2]);
    }
  }
  state_->finished = true;
  return ran;
}

}  // namespace gatedpaths::detail
