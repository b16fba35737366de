// SPDX-License-Identifier: MIT
#include "path_meter.hpp"

#include <gatedpaths/branches/detail/kept_module.hpp>
#include <gatedpaths/branches/detail/no_trace.hpp>
#include <gatedpaths/gates/choice_block.hpp>

#include "../gates/gate_walk.hpp"
#include "../text/error_text.hpp"
#include "../text/tensor_text.hpp"
#include "../text/text.hpp"
#include "kept_activations.hpp"
#include "operation_watch.hpp"
#include "place_watch.hpp"
#include "timing_scopes.hpp"

#include <ATen/core/grad_mode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <tuple>
#include <unordered_set>
#include <utility>

namespace gatedpaths::detail {
namespace {

class CountedRun : public OperationWatch, public PlaceWatch {
 public:
  CountedRun(
      PathMeter& meter,
      PartTallies& tallies,
      std::map<std::string, int64_t>& unknown)
      : OperationWatch(meter.options().convention()),
        PlaceWatch(meter),
        tallies_(tallies),
        unknown_(unknown) {}

 private:
  void counted(
      const std::string& /*name*/, const OperationCount& count) override {
    if (!is_paused()) {
      Tally& tally = tallies_[place()];
      tally[0] += count.macs;
      tally[1] += count.flops;
    }
  }

  void unknown(const std::string& name) override {
    if (!is_paused()) {
      ++unknown_[name];
    }
  }

  PartTallies& tallies_;
  std::map<std::string, int64_t>& unknown_;
};

// For what runs on the device's current stream.
void wait_for(at::Device device) {
  if (!device.is_cpu()) {
    const c10::impl::VirtualGuardImpl guard(device.type());
    guard.synchronizeStream(guard.getStream(device));
  }
}

class TimedRun : public PlaceWatch {
 public:
  TimedRun(PathMeter& meter, PartTimes& times)
      : PlaceWatch(meter), device_(meter.device()), times_(times) {
    wait_for(device_);
    last_ = Clock::now();
  }

  void finish() { before_change(); }

 private:
  using Clock = std::chrono::steady_clock;

  void before_change() noexcept override {
    wait_for(device_);
    const auto now = Clock::now();
    if (!is_paused()) {
      times_[place()] += std::chrono::duration<double>(now - last_).count();
    }
  }

  void after_change() noexcept override { last_ = Clock::now(); }

  at::Device device_;
  PartTimes& times_;
  Clock::time_point last_;
};

}  // namespace

struct PathMeter::Session::Kept {
  Kept(torch::nn::Module& module, at::Device device, bool times) {
    if (times) {
      generators.emplace(device);
      no_cache.emplace();
      no_grad.emplace();
      kept.emplace(module, /*track_statistics=*/false);
    } else {
      no_trace.emplace(module);
    }
  }

  std::optional<NoTrace> no_trace;
  std::optional<KeptGenerators> generators;
  std::optional<NoAutocastCache> no_cache;
  std::optional<at::NoGradGuard> no_grad;
  std::optional<KeptModule> kept;
};

PathMeter::Session::Session(PathMeter& meter, bool times)
    : kept_(std::make_unique<Kept>(meter.module_, meter.device_, times)) {
  for (int64_t i = 0; i < meter.space_.num_gates(); ++i) {
    if (auto* block = dynamic_cast<ChoiceBlockBase*>(&meter.space_.gate(i))) {
      block->set_weighting(nullptr);
    }
  }
  meter.module_.eval();
}

PathMeter::Session::~Session() = default;

PathMeter::PathMeter(
    NetworkRef net, PathSpace space, NetworkRun run, CostOptions options)
    : net_(std::move(net)),
      module_(net_.module("CostModel::measure")),
      space_(std::move(space)),
      run_(std::move(run)),
      options_(std::move(options)) {
  find_parts();
  const auto inputs = run_.renew();
  if (!inputs.empty()) {
    device_ = inputs.front().device();
  }
  for (const auto& [tensor, held] : parameters_) {
    static_cast<void>(held);
    device_ = static_cast<const c10::TensorImpl*>(tensor)->device();
    break;
  }
}

void PathMeter::find_parts() {
  std::unordered_map<const GatedModule*, int64_t> number_of;
  for (int64_t i = 0; i < space_.num_gates(); ++i) {
    GatedModule& gate = space_.gate(i);
    number_of.emplace(&gate, i);
    for (int64_t b = 0; b < gate.num_branches(); ++b) {
      places_of_[&gate.branch_module(b)].push_back({i, b});
    }
  }
  std::unordered_set<const GatedModule*> met;
  std::set<std::tuple<const torch::nn::Module*, const GatedModule*, GatePlace>>
      seen;
  walk_gates(
      module_,
      kOutsideOfGates,
      [&](const WalkedModule& at, const GatePlace& place) {
        if (!seen.emplace(&at.module, at.around, place).second) {
          return false;
        }
        if (auto* gate = dynamic_cast<GatedModule*>(&at.module)) {
          met.insert(gate);
        }
        find_parameters(at.module, place);
        return true;
      },
      [&](const GatedModule& gate, int64_t branch, const GatePlace& place) {
        const auto number = number_of.find(&gate);
        return std::optional(
            number == number_of.end() ? place
                                      : GatePlace{number->second, branch});
      });
  for (int64_t i = 0; i < space_.num_gates(); ++i) {
    TORCH_CHECK_VALUE(
        met.contains(&space_.gate(i)),
        fmt::format(
            "CostModel::measure: expected the network that the space was made "
            "of, got one without its gate '{}'",
            space_.gate_name(i)));
  }
}

void PathMeter::find_parameters(
    const torch::nn::Module& module, const GatePlace& place) {
  auto* layer =
      dynamic_cast<SlotConsumer*>(const_cast<torch::nn::Module*>(&module));
  if (layer != nullptr) {
    SlotHeld held{layer, {}};
    for (int64_t i = 0; i < layer->num_slots(); ++i) {
      auto& [count, bytes] = held.slots.emplace_back(0, 0);
      for (const at::Tensor& tensor : layer->slot_parameters(i)) {
        of_slots_.insert(tensor.unsafeGetTensorImpl());
        count += tensor.numel();
        bytes += static_cast<int64_t>(tensor.nbytes());
      }
    }
    const bool is_new = std::none_of(
        slot_layers_.begin(), slot_layers_.end(), [&](const auto& other) {
          return other.layer == layer;
        });
    if (is_new) {
      slot_layers_.push_back(std::move(held));
    }
  }
  for (const at::Tensor& tensor : module.parameters(/*recurse=*/false)) {
    const void* const key = tensor.unsafeGetTensorImpl();
    if (tensor.defined() && !of_slots_.contains(key)) {
      auto& held = parameters_[key];
      held.count = tensor.numel();
      held.bytes = static_cast<int64_t>(tensor.nbytes());
      held.places.insert(place);
    }
  }
}

PartTallies PathMeter::run(const Session& /*session*/, const Path& path) {
  space_.apply(path);
  path_ = &path;
  PartTallies tallies;
  // Each part has a tally, though it may cost nothing.
  tallies[kOutsideOfGates] = {};
  for (const auto& [gate, open] : path) {
    for (const int64_t branch : open) {
      tallies[{gate, branch}] = {};
    }
  }
  for (const SlotHeld& held : slot_layers_) {
    held.layer->forget_used();
  }
  count_operations(tallies);
  count_parameters(tallies);
  if (options_.activations()) {
    count_activations(tallies);
  }
  path_ = nullptr;
  return tallies;
}

void PathMeter::count_operations(PartTallies& tallies) {
  run_.renew();
  CountedRun watch(*this, tallies, unknown_);
  const WatchScope scope(watch);
  static_cast<void>(forward());
}

void PathMeter::count_parameters(PartTallies& tallies) const {
  const auto add = [&](const GatePlace& place, int64_t count, int64_t bytes) {
    Tally& tally = tallies[place];
    tally[2] += count;
    tally[3] += bytes;
  };
  for (const auto& [tensor, held] : parameters_) {
    static_cast<void>(tensor);
    if (held.places.size() == 1 || held.places.contains(kOutsideOfGates)) {
      const GatePlace& place = *held.places.begin();
      if (tallies.contains(place)) {
        add(place, held.count, held.bytes);
      }
      continue;
    }
    // Of no single part.
    const bool is_reached = std::any_of(
        held.places.begin(), held.places.end(), [&](const GatePlace& place) {
          return tallies.contains(place);
        });
    if (is_reached) {
      add(kOutsideOfGates, held.count, held.bytes);
    }
  }
  for (const SlotHeld& held : slot_layers_) {
    for (const int64_t slot : held.layer->used_slots()) {
      const auto& [count, bytes] = held.slots[static_cast<size_t>(slot)];
      add(kOutsideOfGates, count, bytes);
    }
  }
}

void PathMeter::count_activations(PartTallies& tallies) {
  train_but_drawing_gates();
  const auto inputs = run_.renew();
  {
    KeptActivations watch(*this);
    for (const at::Tensor& tensor : inputs) {
      watch.leave_out(tensor);
    }
    walk_gates(
        module_,
        0,
        [&](const WalkedModule& at, int) {
          for (const at::Tensor& tensor : at.module.parameters(false)) {
            watch.leave_out(tensor);
          }
          for (const at::Tensor& tensor : at.module.buffers(false)) {
            watch.leave_out(tensor);
          }
          return true;
        },
        [](const GatedModule&, int64_t, int) { return std::optional(0); });
    const at::AutoGradMode with_graph(true);
    std::vector<at::Tensor> outputs;
    {
      const WatchScope scope(watch);
      outputs = forward();
    }
    watch.count(std::move(outputs), tallies);
  }
  module_.eval();
}

// Those would run another path.
void PathMeter::train_but_drawing_gates() {
  module_.train();
  walk_gates(
      module_,
      0,
      [&](const WalkedModule& at, int) {
        const auto* gate = dynamic_cast<const GatedModule*>(&at.module);
        if (gate != nullptr && gate->draw_state()) {
          at.module.eval();
          for (const auto& child : at.module.children()) {
            child->train();
          }
        }
        return true;
      },
      [](const GatedModule&, int64_t, int) { return std::optional(0); });
}

PartTimes PathMeter::time(const Session& /*session*/, const Path& path) {
  space_.apply(path);
  path_ = &path;
  run_.renew();
  PartTimes times;
  TimedRun watch(*this, times);
  {
    const WatchScope scope(watch);
    static_cast<void>(forward());
  }
  watch.finish();
  path_ = nullptr;
  return times;
}

std::vector<at::Tensor> PathMeter::forward() const {
  try {
    return run_.forward();
  } catch (const c10::Error& error) {
    const auto inputs = run_.renew();
    TORCH_CHECK_VALUE(
        false,
        fmt::format(
            "CostModel::measure: expected example inputs that the network "
            "takes on each path, got {} and on path '{}' the error: {}",
            listed(inputs, tensor_text),
            space_.to_string(*path_),
            first_line(error)));
  }
}

}  // namespace gatedpaths::detail
