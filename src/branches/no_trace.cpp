// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/no_trace.hpp>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <c10/core/InferenceMode.h>

#include <mutex>
#include <utility>

namespace gatedpaths::detail {
namespace {

void collect_buffers(
    const torch::nn::Module& module,
    std::vector<std::pair<at::Tensor, at::Tensor>>& buffers) {
  for (const auto& buffer : module.buffers(/*recurse=*/false)) {
    if (buffer.defined()) {
      buffers.emplace_back(buffer, buffer.variable_data());
    }
  }
  for (const auto& child : module.children()) {
    collect_buffers(*child, buffers);
  }
}

void collect_modes(
    torch::nn::Module& module,
    std::vector<std::pair<torch::nn::Module*, bool>>& modes) {
  modes.emplace_back(&module, module.is_training());
  for (const auto& child : module.children()) {
    collect_modes(*child, modes);
  }
}

}  // namespace

// The engine itself is copied: get_state() and set_state() go through a tensor
// and are many times slower.
struct RandomStreams::CpuStream {
  explicit CpuStream(at::CPUGeneratorImpl* source) : generator(source) {
    const std::scoped_lock lock(generator->mutex_);
    engine = generator->engine();
    next_float = generator->next_float_normal_sample();
    next_double = generator->next_double_normal_sample();
  }

  void restore() {
    const std::scoped_lock lock(generator->mutex_);
    generator->set_engine(engine);
    generator->set_next_float_normal_sample(next_float);
    generator->set_next_double_normal_sample(next_double);
  }

  at::CPUGeneratorImpl* generator;
  at::mt19937 engine;
  std::optional<float> next_float;
  std::optional<double> next_double;
};

RandomStreams::RandomStreams(at::Device device)
    : cpu_stream_(
          std::make_unique<CpuStream>(at::globalContext()
                                          .defaultGenerator(at::kCPU)
                                          .get<at::CPUGeneratorImpl>())) {
  if (device.type() != at::kCPU && device.type() != at::kMeta) {
    device_generator_ = at::globalContext().defaultGenerator(device);
    device_stream_ = device_generator_->get_state();
  }
}

RandomStreams::~RandomStreams() {
  if (device_generator_) {
    device_generator_->set_state(device_stream_);
  }
  cpu_stream_->restore();
}

NoTrace::NoTrace(
    torch::nn::Module& module, at::Device device, bool track_statistics)
    : streams_(device),
      autocast_cache_(at::autocast::is_autocast_cache_enabled()) {
  if (!track_statistics) {
    collect_buffers(module, buffers_);
    const c10::InferenceMode normal_tensors(false);
    for (auto& [live, kept] : buffers_) {
      // The module works on a copy, and gets its own memory back afterwards:
      // copying values back would count as a change for a graph that an open
      // forward of the same buffers has recorded.
      live.set_data(kept.clone());
    }
  }
  keep_states(module);
  // A weight that is cast without a graph must not be found by an open forward.
  at::autocast::set_autocast_cache_enabled(false);
}

NoTrace::~NoTrace() {
  at::autocast::set_autocast_cache_enabled(autocast_cache_);
  states_.clear();
  for (auto& [live, kept] : buffers_) {
    live.set_data(kept);
  }
}

void NoTrace::keep_states(torch::nn::Module& module) {
  if (auto* restorable = dynamic_cast<Restorable*>(&module)) {
    states_.push_back(restorable->keep());
  }
  for (const auto& child : module.children()) {
    keep_states(*child);
  }
}

EvalScope::EvalScope(torch::nn::Module& module) {
  collect_modes(module, modes_);
  module.eval();
}

EvalScope::~EvalScope() {
  for (auto& [module, training] : modes_) {
    if (module->is_training() != training) {
      module->train(training);
    }
  }
}

}  // namespace gatedpaths::detail
