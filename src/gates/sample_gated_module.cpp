// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/sample_gated_module.hpp>

#include <gatedpaths/branches/detail/branch_label.hpp>
#include <gatedpaths/branches/detail/sample_gates.hpp>
#include <gatedpaths/gates/stream_seed.hpp>

#include "../branches/host_memory.hpp"
#include "../random/counter_random.hpp"
#include "../random/draw_open_set.hpp"
#include "../random/fresh_seed.hpp"

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <ostream>
#include <utility>
#include <vector>

namespace gatedpaths {
namespace {

constexpr std::string_view kCapacityKind = "capacity";

// A bool tensor, true for these samples alone.
at::Tensor mask_of_samples(
    const std::vector<int64_t>& samples, int64_t batch, at::Device device) {
  const auto on_host = detail::host_memory({batch}, at::kBool, device);
  auto* mask = on_host.mutable_data_ptr<bool>();
  std::fill_n(mask, batch, false);
  for (const int64_t sample : samples) {
    mask[sample] = true;
  }
  return detail::send(on_host, device, at::kBool);
}

}  // namespace

std::string_view to_string(Overflow overflow) noexcept {
  return overflow == Overflow::kRefuse ? "kRefuse" : "kDrop";
}

std::ostream& operator<<(std::ostream& stream, Overflow overflow) {
  return stream << to_string(overflow);
}

c10::IntArrayRef SampleGatedModule::ran_samples(int64_t index) const {
  check_branch_index("ran_samples", index);
  TORCH_CHECK(
      sample_gates_,
      gate_kind(),
      "::ran_samples: expected a last forward with gates for each sample, got "
      "none");
  return sample_gates_->samples[static_cast<size_t>(index)];
}

void SampleGatedModule::set_capacity_state(const DrawState& state) {
  TORCH_CHECK(
      capacity_state_,
      gate_kind(),
      "::set_capacity_state: expected a capacity with overflow=kDrop, got ",
      capacity_.limit ? "overflow=kRefuse" : "no capacity",
      ", which draws nothing");
  capacity_state_ = state;
}

void SampleGatedModule::visit_draws(const DrawVisitor& visit) {
  GatedModule::visit_draws(visit);
  if (capacity_state_) {
    visit(kCapacityKind, *capacity_state_);
  }
}

void SampleGatedModule::init_sample_gates(
    std::string_view kind,
    int64_t open_dims,
    Skip skip,
    const SampleCapacity& capacity) {
  open_dims_ = open_dims;
  skip_ = skip;
  capacity_ = capacity;
  if (!capacity.limit) {
    return;
  }
  TORCH_CHECK_VALUE(
      *capacity.limit >= 1,
      kind,
      ": expected a capacity of at least 1 sample, got ",
      *capacity.limit);
  TORCH_CHECK_VALUE(
      skip == Skip::kZeroFill,
      kind,
      ": expected skip=kZeroFill with a capacity, got skip=",
      skip,
      ", under which there are no gates for each sample");
  if (capacity.overflow == Overflow::kDrop) {
    capacity_state_ =
        DrawState{capacity.seed ? *capacity.seed : detail::fresh_seed(), 0};
  }
}

std::shared_ptr<const detail::SampleGates>
SampleGatedModule::begin_forward_samples(
    const at::Tensor& input, const at::Tensor& open, bool training) {
  check_open(input, open);
  auto gates = std::make_shared<detail::SampleGates>(
      detail::read_sample_gates(open, num_branches()));
  const auto counts = gates->counts();
  const auto bad =
      std::find_if(counts.begin(), counts.end(), [&](int64_t count) {
        return count < min_open() || count > max_open();
      });
  TORCH_CHECK_VALUE(
      bad == counts.end(),
      gate_kind(),
      "::forward: expected ",
      min_open(),
      " to ",
      max_open(),
      " open branches for each sample, got ",
      *bad,
      " for sample ",
      bad - counts.begin());
  apply_capacity(*gates, training);
  detail::finish_sample_gates(*gates, input.device());
  begin_forward_of(gates->ran);
  sample_gates_ = std::move(gates);
  return sample_gates_;
}

std::shared_ptr<const detail::SampleGates>
SampleGatedModule::begin_forward_all_samples(
    const at::Tensor& input,
    const at::Tensor& open,
    bool training,
    at::Tensor& kept) {
  check_open(input, open);
  kept = open;
  if (capacity_.limit) {  // otherwise nothing of `open` is read on the host
    auto counted = detail::read_sample_gates(open, /*branches=*/1);
    if (apply_capacity(counted, training)) {
      kept = mask_of_samples(
          counted.samples.front(), counted.batch, open.device());
    }
  }
  auto gates = std::make_shared<detail::SampleGates>();
  gates->batch = input.size(0);
  auto& all = gates->samples.emplace_back(static_cast<size_t>(gates->batch));
  std::iota(all.begin(), all.end(), 0);
  detail::finish_sample_gates(*gates, input.device());
  begin_forward_of(gates->ran);
  sample_gates_ = std::move(gates);
  return sample_gates_;
}

void SampleGatedModule::check_open(
    const at::Tensor& input, const at::Tensor& open) const {
  TORCH_CHECK_VALUE(
      num_dropped() == 0,
      gate_kind(),
      "::forward: expected a gate with all of its branches for gates for each "
      "sample, got one that was derived for a path, without ",
      num_dropped(),
      " of ",
      num_dropped() + num_branches());
  TORCH_CHECK_VALUE(
      skip_ == Skip::kZeroFill,
      gate_kind(),
      "::forward: expected skip=kZeroFill for gates for each sample, got skip=",
      skip_,
      ", under which closed samples would have to run");
  TORCH_CHECK_VALUE(
      input.dim() > 0,
      gate_kind(),
      "::forward: expected an input with a batch for gates for each sample, "
      "got one without dims");
  TORCH_CHECK_VALUE(
      open.scalar_type() == at::kBool,
      gate_kind(),
      "::forward: expected open as a Bool tensor, got ",
      open.scalar_type());
  std::vector<int64_t> sizes = {input.size(0)};
  if (open_dims_ == 2) {
    sizes.push_back(num_branches());
  }
  TORCH_CHECK_VALUE(
      open.sizes() == c10::IntArrayRef(sizes),
      gate_kind(),
      "::forward: expected open of ",
      c10::IntArrayRef(sizes),
      open_dims_ == 1 ? ", one gate a sample" : ", one row a sample",
      ", got ",
      open.sizes());
}

// Whether it dropped a sample.
bool SampleGatedModule::apply_capacity(
    detail::SampleGates& gates, bool training) {
  if (!capacity_.limit) {
    return false;
  }
  bool drops = false;
  const int64_t limit = *capacity_.limit;
  for (size_t branch = 0; branch < gates.samples.size(); ++branch) {
    auto& samples = gates.samples[branch];
    const auto count = static_cast<int64_t>(samples.size());
    if (count <= limit) {
      continue;
    }
    TORCH_CHECK_VALUE(
        capacity_.overflow == Overflow::kDrop,
        gate_kind(),
        "::forward: expected at most ",
        limit,
        " samples, the capacity, for ",
        detail::BranchLabel{
            gate_kind(), static_cast<int64_t>(branch), branch_names()[branch]}
            .text(),
        ", got ",
        count);
    drops = true;
    if (training) {
      detail::CounterRandom random(
          stream_seed(
              stream_seed(capacity_state_->seed, gate_kind()), kCapacityKind),
          capacity_state_->step,
          branch);
      std::vector<int64_t> kept;
      detail::draw_open_set(random, count, limit, limit, kept);
      std::transform(kept.begin(), kept.end(), kept.begin(), [&](int64_t i) {
        return samples[static_cast<size_t>(i)];
      });
      samples = std::move(kept);
    } else {
      samples.resize(static_cast<size_t>(limit));
    }
  }
  if (training && capacity_state_) {
    capacity_state_->take_step();
  }
  return drops;
}

struct SampleGatedModule::KeptSamples : detail::KeptState {
  explicit KeptSamples(SampleGatedModule& owner)
      : draws(owner.GatedModule::keep()),
        gate(owner),
        gates(owner.sample_gates_),
        state(owner.capacity_state_) {}

  ~KeptSamples() override {
    gate.sample_gates_ = std::move(gates);
    gate.capacity_state_ = state;
  }

  std::unique_ptr<detail::KeptState> draws;
  SampleGatedModule& gate;
  std::shared_ptr<const detail::SampleGates> gates;
  std::optional<DrawState> state;
};

std::unique_ptr<detail::KeptState> SampleGatedModule::keep() {
  return std::make_unique<KeptSamples>(*this);
}

void SampleGatedModule::print_capacity(std::ostream& stream) const {
  if (capacity_.limit) {
    stream << ", capacity=" << *capacity_.limit
           << ", overflow=" << capacity_.overflow;
  }
}

}  // namespace gatedpaths
