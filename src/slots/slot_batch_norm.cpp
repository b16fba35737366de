// SPDX-License-Identifier: MIT
#include <gatedpaths/slots/slot_batch_norm.hpp>

#include <gatedpaths/branches/detail/clone_module.hpp>

#include "slot_layer.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <ostream>
#include <string>
#include <utility>

namespace gatedpaths {
namespace {

template <size_t D>
constexpr const char* kNorm = D == 1 ? "SlotBatchNorm1d" : "SlotBatchNorm2d";

int64_t sum_of(const std::vector<int64_t>& sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
}

torch::nn::BatchNormOptions with_features(
    torch::nn::BatchNormOptions options, int64_t features) {
  options.num_features(features);
  return options;
}

// Any tensor of the norm; they are on one device.
template <class Norm>
torch::Device device_of(const Norm& norm) {
  if (norm->weight.defined()) {
    return norm->weight.device();
  }
  return norm->running_mean.defined() ? norm->running_mean.device()
                                      : torch::Device(torch::kCPU);
}

}  // namespace

template <size_t D>
SlotBatchNormImpl<D>::SlotBatchNormImpl(SlotBatchNormOptions layer_options)
    : options(std::move(layer_options)) {
  SlotBatchNormImpl::reset();
}

template <size_t D>
void SlotBatchNormImpl<D>::reset() {
  const auto& channels = options.slot_channels();
  detail::check_slot_sizes(kNorm<D>, "slot_channels", channels);
  TORCH_CHECK_VALUE(
      sum_of(channels) == options.dense().num_features(),
      kNorm<D>,
      ": expected slot_channels that add up to the dense layer's ",
      options.dense().num_features(),
      " num_features, got ",
      c10::IntArrayRef(channels),
      ", which add up to ",
      sum_of(channels));
  norms.clear();
  for (size_t i = 0; i < channels.size(); ++i) {
    norms.push_back(this->register_module(
        std::to_string(i),
        detail::DenseBatchNorm<D>(
            with_features(options.dense(), channels[i]))));
  }
}

template <size_t D>
Slots SlotBatchNormImpl<D>::forward(const Slots& slots) {
  detail::check_slots(kNorm<D>, slots, options.slot_channels(), /*dim=*/1);
  use(slots.positions());
  Slots result = slots;
  for (size_t i = 0; i < result.values_.size(); ++i) {
    const auto slot = static_cast<size_t>(slots.positions()[i]);
    result.values_[i] = norms[slot]->forward(result.values_[i]);
  }
  return result;
}

template <size_t D>
detail::DenseBatchNorm<D> SlotBatchNormImpl<D>::to_dense() const {
  const torch::NoGradGuard no_grad;
  detail::DenseBatchNorm<D> dense(options.dense());
  dense->to(device_of(norms.front()));
  const auto join = [&](torch::Tensor& target, auto part) {
    if (target.defined()) {
      std::vector<torch::Tensor> parts;
      for (const auto& norm : norms) {
        parts.push_back(part(norm));
      }
      target.set_data(torch::cat(parts));
      target.set_requires_grad(detail::any_requires_grad(parts));
    }
  };
  join(dense->weight, [](const auto& norm) { return norm->weight; });
  join(dense->bias, [](const auto& norm) { return norm->bias; });
  join(
      dense->running_mean, [](const auto& norm) { return norm->running_mean; });
  join(dense->running_var, [](const auto& norm) { return norm->running_var; });
  if (dense->num_batches_tracked.defined()) {
    auto most = norms.front()->num_batches_tracked;
    for (const auto& norm : norms) {
      most = torch::maximum(most, norm->num_batches_tracked);
    }
    dense->num_batches_tracked.set_data(most.clone());
  }
  dense->train(this->is_training());
  return dense;
}

template <size_t D>
std::shared_ptr<torch::nn::Module> SlotBatchNormImpl<D>::clone(
    const std::optional<torch::Device>& device) const {
  auto copy = torch::nn::Cloneable<SlotBatchNormImpl<D>>::clone(device);
  detail::copy_requires_grad(*this, *copy);
  return copy;
}

template <size_t D>
int64_t SlotBatchNormImpl<D>::num_slots() const noexcept {
  return static_cast<int64_t>(norms.size());
}

template <size_t D>
std::vector<at::Tensor> SlotBatchNormImpl<D>::slot_parameters(
    int64_t index) const {
  detail::check_slot_index(kNorm<D>, index, num_slots());
  return norms[static_cast<size_t>(index)]->parameters();
}

template <size_t D>
std::vector<SlotSplit> SlotBatchNormImpl<D>::slot_splits() const {
  std::vector<std::string> names;
  if (options.dense().affine()) {
    names.insert(names.end(), {"weight", "bias"});
  }
  if (options.dense().track_running_stats()) {
    names.insert(
        names.end(), {"running_mean", "running_var", "num_batches_tracked"});
  }
  std::vector<SlotSplit> splits;
  for (const auto& name : names) {
    SlotSplit split{
        .dense_name = name,
        .slot_names = {},
        .dim = 0,
        .sizes = options.slot_channels(),
        .whole = name == "num_batches_tracked"};
    for (size_t i = 0; i < norms.size(); ++i) {
      split.slot_names.push_back(fmt::format("{}.{}", i, name));
    }
    splits.push_back(std::move(split));
  }
  return splits;
}

template <size_t D>
void SlotBatchNormImpl<D>::pretty_print(std::ostream& stream) const {
  stream << fmt::format(
      "gatedpaths::{}(slot_channels=[{}])",
      kNorm<D>,
      fmt::join(options.slot_channels(), ", "));
}

template <size_t D>
SlotBatchNorm<D> SlotBatchNorm<D>::from_dense(
    const detail::DenseBatchNorm<D>& dense,
    std::vector<int64_t> slot_channels) {
  const torch::NoGradGuard no_grad;
  SlotBatchNorm layer(
      SlotBatchNormOptions(std::move(slot_channels), dense->options));
  layer->to(device_of(dense));
  int64_t first = 0;
  for (size_t i = 0; i < layer->norms.size(); ++i) {
    const int64_t size = layer->options.slot_channels()[i];
    auto& norm = layer->norms[i];
    const auto take = [&](torch::Tensor& target, const torch::Tensor& source) {
      if (target.defined()) {
        target.set_data(source.narrow(0, first, size).clone());
        target.set_requires_grad(source.requires_grad());
      }
    };
    take(norm->weight, dense->weight);
    take(norm->bias, dense->bias);
    take(norm->running_mean, dense->running_mean);
    take(norm->running_var, dense->running_var);
    if (norm->num_batches_tracked.defined()) {
      norm->num_batches_tracked.set_data(dense->num_batches_tracked.clone());
    }
    first += size;
  }
  layer->train(dense->is_training());
  return layer;
}

template class SlotBatchNormImpl<1>;
template class SlotBatchNormImpl<2>;
template class SlotBatchNorm<1>;
template class SlotBatchNorm<2>;

}  // namespace gatedpaths
