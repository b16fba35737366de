// SPDX-License-Identifier: MIT
#include "linear_flow.hpp"

#include "batch_norm_modes.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <c10/core/InferenceMode.h>

#include <functional>
#include <unordered_set>
#include <utility>
#include <vector>

namespace gatedpaths::detail {
namespace {

class LinearFlow {
 public:
  LinearFlow() = default;
  ~LinearFlow() {
    const c10::InferenceMode normal_tensors(false);
    for (auto& [live, original] : tensors_) {
      live.set_data(original);
    }
    for (const auto& put_back : settings_) {
      put_back();
    }
  }
  LinearFlow(const LinearFlow&) = delete;
  LinearFlow& operator=(const LinearFlow&) = delete;

  // Not in the constructor: what it has done is undone where it throws.
  void start(torch::nn::Module& net) {
    const c10::InferenceMode normal_tensors(false);
    const at::NoGradGuard no_grad;  // which that would undo
    for (const auto& parameter : net.parameters()) {
      replace(parameter);
    }
    for (const auto& buffer : net.buffers()) {
      replace(buffer);
    }
    const auto parameters = net.parameters();
    const auto device =
        parameters.empty() ? at::Device(at::kCPU) : parameters[0].device();
    for_each_batch_norm(net, [&](auto& norm) {
      give_statistics(norm, device);
      settings_.push_back(
          [&norm, eps = norm.options.eps()] { norm.options.eps(eps); });
      norm.options.eps(0);
      set(norm.running_mean, 0);
      set(norm.running_var, 1);
      set(norm.weight, 1);
      set(norm.bias, 0);
    });
  }

 private:
  void replace(const at::Tensor& live) {
    // A tensor may be registered twice.
    if (!live.defined() || !live.is_floating_point() ||
        !seen_.insert(live.unsafeGetTensorImpl()).second) {
      return;
    }
    tensors_.emplace_back(live, live.variable_data());
    live.set_data(live.detach().to(at::kDouble, false, true).abs_());
  }

  // One without any would normalise by its input's.
  template <class Norm>
  void give_statistics(Norm& norm, at::Device device) {
    auto& options = norm.options;
    settings_.push_back([&norm,
                         tracks = options.track_running_stats(),
                         mean = norm.running_mean,
                         variance = norm.running_var] {
      norm.options.track_running_stats(tracks);
      norm.running_mean = mean;
      norm.running_var = variance;
    });
    options.track_running_stats(true);
    for (at::Tensor* statistic : {&norm.running_mean, &norm.running_var}) {
      if (!statistic->defined()) {
        *statistic = at::empty(
            {options.num_features()},
            at::TensorOptions(at::kDouble).device(device));
      }
    }
  }

  static void set(at::Tensor& tensor, double value) {
    if (tensor.defined()) {
      tensor.fill_(value);
    }
  }

  std::unordered_set<const void*> seen_;
  std::vector<std::pair<at::Tensor, at::Tensor>> tensors_;  // live, original
  std::vector<std::function<void()>> settings_;
};

}  // namespace

std::shared_ptr<void> linear_flow(torch::nn::Module& net) {
  auto flow = std::make_shared<LinearFlow>();
  flow->start(net);
  return flow;
}

}  // namespace gatedpaths::detail
