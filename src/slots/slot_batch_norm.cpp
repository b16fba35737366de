// SPDX-License-Identifier: MIT
#include <gatedpaths/slots/slot_batch_norm.hpp>

#include <gatedpaths/branches/detail/clone_module.hpp>

#include "dense_parts.hpp"
#include "slot_layer.hpp"

#include <c10/util/accumulate.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <ostream>
#include <string>
#include <utility>

namespace gatedpaths {
namespace {

template <size_t D>
constexpr const char* kNorm = D == 1 ? "SlotBatchNorm1d" : "SlotBatchNorm2d";

torch::nn::BatchNormOptions with_features(
    torch::nn::BatchNormOptions options, int64_t features) {
  options.num_features(features);
  return options;
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
  detail::check_slot_sizes(kNorm<D>, "slot_channels", channels, may_be_empty_);
  detail::check_sum(
      kNorm<D>,
      "slot_channels",
      channels,
      "num_features",
      options.dense().num_features());
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
  take(slots);
  use(slots.positions());
  Slots result = slots;
  for (size_t i = 0; i < result.values_.size(); ++i) {
    const auto slot = static_cast<size_t>(slots.positions()[i]);
    result.values_[i] = norms[slot]->forward(result.values_[i]);
  }
  return result;
}

template <size_t D>
void SlotBatchNormImpl<D>::drop_slots(c10::IntArrayRef kept) {
  options.slot_channels(detail::take_kept(options.slot_channels(), kept));
  options.dense(with_features(
      options.dense(), c10::sum_integers(options.slot_channels())));
  for (size_t i = 0; i < norms.size(); ++i) {
    this->unregister_module(std::to_string(i));
  }
  norms = detail::take_kept(norms, kept);
  may_be_empty_ = norms.empty();
  for (size_t i = 0; i < norms.size(); ++i) {
    this->register_module(std::to_string(i), norms[i]);
  }
}

template <size_t D>
detail::DenseBatchNorm<D> SlotBatchNormImpl<D>::to_dense() const {
  detail::DenseBatchNorm<D> dense(options.dense());
  detail::copy_to_dense(*this, *dense, detail::Dtypes::kOfEach);
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
  SlotBatchNorm layer(
      SlotBatchNormOptions(std::move(slot_channels), dense->options));
  detail::copy_from_dense(*layer, *dense, detail::Dtypes::kOfEach);
  return layer;
}

template class SlotBatchNormImpl<1>;
template class SlotBatchNormImpl<2>;
template class SlotBatchNorm<1>;
template class SlotBatchNorm<2>;

}  // namespace gatedpaths
