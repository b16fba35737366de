// SPDX-License-Identifier: MIT
#include "gradient_watch.hpp"

#include <c10/util/Exception.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <mutex>

namespace gatedpaths::detail {

// Backwards run in threads of the autograd engine, one a device, and of users.
struct GradientWatch::Noted {
  explicit Noted(size_t parameters) : is_noted(parameters) {}

  void note(size_t parameter) {
    const std::scoped_lock lock(mutex);
    if (!is_noted[parameter]) {
      is_noted[parameter] = true;
      order.push_back(parameter);
    }
  }

  template <class Drop>
  void drop_if(const Drop& drop) {
    const std::scoped_lock lock(mutex);
    std::erase_if(order, [&](size_t parameter) {
      is_noted[parameter] = !drop(parameter);
      return !is_noted[parameter];
    });
  }

  std::mutex mutex;
  std::vector<bool> is_noted;
  std::vector<size_t> order;
};

GradientWatch::GradientWatch(std::vector<at::Tensor> parameters)
    : parameters_(std::move(parameters)),
      noted_(std::make_shared<Noted>(parameters_.size())) {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const at::Tensor& parameter = parameters_[i];
    if (parameter.is_inference() ||
        !(parameter.is_floating_point() || parameter.is_complex())) {
      continue;  // never gets a gradient
    }
    // A frozen one takes no hook, and may be thawed later.
    const bool is_frozen = !parameter.requires_grad();
    if (is_frozen) {
      parameter.set_requires_grad(true);
    }
    hooks_.emplace_back(
        i,
        parameter.register_hook(
            [noted = noted_, i](const at::Tensor& /*gradient*/) {
              noted->note(i);
            }));
    if (is_frozen) {
      parameter.set_requires_grad(false);
    }
  }
  look_at_all();
}

GradientWatch::~GradientWatch() {
  for (const auto& [parameter, hook] : hooks_) {
    try {
      parameters_[parameter].remove_hook(hook);
    } catch (const c10::Error&) {
      // A parameter that was written in place with a graph has lost its hooks.
    }
  }
}

std::vector<size_t> GradientWatch::noted() const {
  const std::scoped_lock lock(noted_->mutex);
  return noted_->order;
}

void GradientWatch::look_at_all() {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (parameters_[i].grad().defined()) {
      noted_->note(i);
    }
  }
}

void GradientWatch::drop_undefined() {
  noted_->drop_if(
      [this](size_t i) { return !parameters_[i].grad().defined(); });
}

void GradientWatch::clear() {
  noted_->drop_if([](size_t) { return true; });
}

}  // namespace gatedpaths::detail
