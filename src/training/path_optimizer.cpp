// SPDX-License-Identifier: MIT
#include <gatedpaths/training/path_optimizer.hpp>

#include <c10/util/Exception.h>
#include <torch/optim/lbfgs.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace gatedpaths {

// Walks the module tree once and gives each parameter its unit.
class PathOptimizer::Builder {
 public:
  explicit Builder(PathOptimizer& owner) : owner_(owner) {
    owner_.units_.resize(1);
    for (int64_t g = 0; g < owner_.space_.num_gates(); ++g) {
      const GatedModule& gate = owner_.space_.gate(g);
      gates_.emplace(&gate, owner_.first_units_.size());
      owner_.first_units_.push_back(add_units(gate.num_branches()));
    }
    const auto& groups = owner_.optimizer_.param_groups();
    for (size_t g = 0; g < groups.size(); ++g) {
      for (const auto& parameter : groups[g].params()) {
        groups_.emplace(
            parameter.unsafeGetTensorImpl(), static_cast<int64_t>(g));
      }
    }
    visit(*owner_.root_, 0);
    for (const auto& group : groups) {
      for (const auto& parameter : group.params()) {
        if (!numbers_.contains(parameter.unsafeGetTensorImpl())) {
          add(parameter, 0);
        }
      }
    }
    owner_.seen_.resize(numbers_.size());
    owner_.open_groups_.resize(groups.size());
  }

 private:
  size_t add_units(int64_t count) {
    const size_t first = owner_.units_.size();
    owner_.units_.resize(first + static_cast<size_t>(count));
    return first;
  }

  void add(const torch::Tensor& parameter, size_t unit) {
    if (!parameter.defined()) {
      return;
    }
    const auto* impl = parameter.unsafeGetTensorImpl();
    const auto number = numbers_.emplace(impl, numbers_.size()).first->second;
    const auto group = groups_.find(impl);
    owner_.units_[unit].entries.push_back(
        {parameter, number, group == groups_.end() ? -1 : group->second});
  }

  void visit(torch::nn::Module& module, size_t unit) {
    if (auto* layer = dynamic_cast<SlotConsumer*>(&module)) {
      const size_t first = consumer_units(*layer);
      for (int64_t slot = 0; slot < layer->num_slots(); ++slot) {
        for (const auto& parameter : layer->slot_parameters(slot)) {
          placed_.insert(parameter.unsafeGetTensorImpl());
          add(parameter, first + static_cast<size_t>(slot));
        }
      }
    }
    for (const auto& parameter : module.parameters(/*recurse=*/false)) {
      if (!placed_.contains(parameter.unsafeGetTensorImpl())) {
        add(parameter, unit);
      }
    }
    const auto* gate = dynamic_cast<const GatedModule*>(&module);
    for (const auto& child : module.children()) {
      bool is_branch = false;
      for (int64_t b = 0; gate != nullptr && b < gate->num_branches(); ++b) {
        if (&gate->branch_module(b) == child.get()) {
          is_branch = true;
          visit(
              *child,
              owner_.first_units_[gates_.at(gate)] + static_cast<size_t>(b));
        }
      }
      if (!is_branch) {
        visit(*child, unit);
      }
    }
  }

  size_t consumer_units(SlotConsumer& layer) {
    const auto known = std::find_if(
        owner_.consumers_.begin(),
        owner_.consumers_.end(),
        [&](const Consumer& consumer) { return consumer.layer == &layer; });
    if (known != owner_.consumers_.end()) {
      return known->first_unit;
    }
    const size_t first = add_units(layer.num_slots());
    owner_.consumers_.push_back({&layer, first});
    return first;
  }

  PathOptimizer& owner_;
  std::unordered_set<const c10::TensorImpl*> placed_;  // in a slot's unit
  std::unordered_map<const GatedModule*, size_t> gates_;
  std::unordered_map<const c10::TensorImpl*, size_t> numbers_;
  std::unordered_map<const c10::TensorImpl*, int64_t> groups_;
};

PathOptimizer::PathOptimizer(
    std::shared_ptr<torch::nn::Module> root,
    PathSpace space,
    torch::optim::Optimizer& optimizer)
    : root_(std::move(root)), space_(std::move(space)), optimizer_(optimizer) {
  TORCH_CHECK_VALUE(root_, "PathOptimizer: expected a network, got none");
  TORCH_CHECK_VALUE(
      dynamic_cast<torch::optim::LBFGS*>(&optimizer) == nullptr,
      "PathOptimizer: expected an optimizer that treats each parameter by "
      "itself, got LBFGS");
  const Builder builder(*this);
}

void PathOptimizer::apply(const Path& path) {
  remember();
  space_.apply(path);
}

void PathOptimizer::zero_grad() {
  remember();
  for_each_used(
      [](const Entry& entry) { entry.parameter.mutable_grad().reset(); });
  for (const size_t unit : used_) {
    units_[unit].used = false;
  }
  used_.clear();
  for (const Consumer& consumer : consumers_) {
    consumer.layer->forget_used();
  }
}

std::vector<torch::Tensor> PathOptimizer::parameters() {
  remember();
  std::vector<torch::Tensor> result;
  for_each_used([&](const Entry& entry) { result.push_back(entry.parameter); });
  return result;
}

torch::Tensor PathOptimizer::step(
    torch::optim::Optimizer::LossClosure closure) {
  auto& groups = optimizer_.param_groups();
  TORCH_CHECK(
      groups.size() == open_groups_.size(),
      "PathOptimizer::step: expected the optimizer's ",
      open_groups_.size(),
      " parameter groups, got ",
      groups.size(),
      "; make a new PathOptimizer after adding groups");
  torch::Tensor loss;
  if (closure) {
    // Run here, since what it opens has to be known before the step.
    const torch::AutoGradMode with_grad(true);
    loss = closure();
  }
  remember();
  for_each_used([this](const Entry& entry) {
    if (entry.group >= 0) {
      open_groups_[static_cast<size_t>(entry.group)].push_back(entry.parameter);
    }
  });
  struct Swap {
    Swap(
        std::vector<torch::optim::OptimizerParamGroup>& all,
        std::vector<std::vector<torch::Tensor>>& open)
        : all_(all), open_(open) {
      exchange();
    }
    ~Swap() {
      exchange();
      for (auto& group : open_) {
        group.clear();
      }
    }
    Swap(const Swap&) = delete;
    Swap& operator=(const Swap&) = delete;

    void exchange() {
      for (size_t g = 0; g < all_.size(); ++g) {
        std::swap(all_[g].params(), open_[g]);
      }
    }

    std::vector<torch::optim::OptimizerParamGroup>& all_;
    std::vector<std::vector<torch::Tensor>>& open_;
  };
  const Swap only_open(groups, open_groups_);
  optimizer_.step();
  return loss;
}

void PathOptimizer::remember() {
  use(0);
  for (const GateSetting& setting : space_.current()) {
    const size_t first = first_units_[static_cast<size_t>(setting.gate)];
    for (const int64_t branch : setting.open) {
      use(first + static_cast<size_t>(branch));
    }
  }
  for (const Consumer& consumer : consumers_) {
    for (const int64_t slot : consumer.layer->used_slots()) {
      use(consumer.first_unit + static_cast<size_t>(slot));
    }
  }
}

void PathOptimizer::use(size_t unit) {
  if (!units_[unit].used) {
    units_[unit].used = true;
    used_.push_back(unit);
  }
}

template <class Visit>
void PathOptimizer::for_each_used(Visit visit) {
  ++walk_;
  for (const size_t unit : used_) {
    for (const Entry& entry : units_[unit].entries) {
      if (seen_[entry.number] != walk_) {
        seen_[entry.number] = walk_;
        visit(entry);
      }
    }
  }
}

}  // namespace gatedpaths
