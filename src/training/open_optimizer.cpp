// SPDX-License-Identifier: MIT
#include <gatedpaths/training/open_optimizer.hpp>

#include "../gates/gate_walk.hpp"

#include <c10/util/Exception.h>
#include <torch/optim/lbfgs.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace gatedpaths {

namespace {

PathSpace all_gates_of(const NetworkRef& root) {
  return {root, [](std::string_view, const GatedModule&) { return true; }};
}

// It may leave gates out.
void check_space(const PathSpace& all, const PathSpace& space) {
  std::unordered_map<std::string_view, const GatedModule*> by_name;
  for (int64_t g = 0; g < all.num_gates(); ++g) {
    by_name.emplace(all.gate_name(g), &all.gate(g));
  }
  for (int64_t g = 0; g < space.num_gates(); ++g) {
    const std::string& name = space.gate_name(g);
    const auto own = by_name.find(name);
    TORCH_CHECK_VALUE(
        own != by_name.end(),
        "OpenOptimizer: expected the space of the network, got one whose gate ",
        g,
        " ('",
        name,
        "') is none of the network's ",
        all.num_gates());
    TORCH_CHECK_VALUE(
        own->second == &space.gate(g),
        "OpenOptimizer: expected the space of the network, got one whose gate ",
        g,
        " ('",
        name,
        "') is not the network's gate '",
        name,
        "'");
  }
}

}  // namespace

// Walks the module tree once and gives each parameter its unit.
class OpenOptimizer::Builder {
 public:
  Builder(OpenOptimizer& owner, torch::nn::Module& root) : owner_(owner) {
    owner_.units_.resize(1);
    for (int64_t g = 0; g < owner_.all_gates_.num_gates(); ++g) {
      const GatedModule& gate = owner_.all_gates_.gate(g);
      gates_.emplace(&gate, owner_.first_units_.size());
      owner_.first_units_.push_back(add_units(gate.num_branches()));
    }
    const auto& groups = owner_.optimizer_.param_groups();
    for (size_t g = 0; g < groups.size(); ++g) {
      owner_.group_sizes_.push_back(groups[g].params().size());
      for (const auto& parameter : groups[g].params()) {
        groups_.emplace(
            parameter.unsafeGetTensorImpl(), static_cast<int64_t>(g));
      }
    }
    walk(root);
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
  using Impls = std::unordered_set<const c10::TensorImpl*>;
  struct Place {
    size_t unit;
    std::shared_ptr<const Impls> in_slots;  // of the layer around, if any
  };

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
    if (parameter.grad().defined()) {
      owner_.use(unit);  // of a backward before this object was made
    }
  }

  void walk(torch::nn::Module& root) {
    detail::walk_gates(
        root,
        Place{0, nullptr},
        [this](const detail::WalkedModule& at, Place& place) {
          return visit(at.module, place);
        },
        [this](const GatedModule& gate, int64_t branch, const Place& place) {
          const size_t first = owner_.first_units_[gates_.at(&gate)];
          return std::optional(
              Place{first + static_cast<size_t>(branch), place.in_slots});
        });
  }

  bool visit(torch::nn::Module& module, Place& place) {
    if (!visited_.emplace(&module, place.unit).second) {
      return false;
    }
    if (auto* layer = dynamic_cast<SlotConsumer*>(&module)) {
      place.in_slots = std::make_shared<const Impls>(add_slots(*layer));
    }
    for (const auto& parameter : module.parameters(/*recurse=*/false)) {
      if (place.in_slots == nullptr ||
          !place.in_slots->contains(parameter.unsafeGetTensorImpl())) {
        add(parameter, place.unit);
      }
    }
    return true;
  }

  // Gives each slot its unit. Returns the parameters of all slots.
  Impls add_slots(SlotConsumer& layer) {
    const bool is_new = layers_.insert(&layer).second;
    const size_t first = is_new ? add_units(layer.num_slots()) : 0;
    if (is_new) {
      owner_.consumers_.push_back({&layer, first});
    }
    Impls impls;
    for (int64_t slot = 0; slot < layer.num_slots(); ++slot) {
      for (const auto& parameter : layer.slot_parameters(slot)) {
        impls.insert(parameter.unsafeGetTensorImpl());
        if (is_new) {
          add(parameter, first + static_cast<size_t>(slot));
        }
      }
    }
    return impls;
  }

  OpenOptimizer& owner_;
  std::set<std::pair<const torch::nn::Module*, size_t>> visited_;
  std::unordered_set<const SlotConsumer*> layers_;
  std::unordered_map<const GatedModule*, size_t> gates_;
  std::unordered_map<const c10::TensorImpl*, size_t> numbers_;
  std::unordered_map<const c10::TensorImpl*, int64_t> groups_;
};

OpenOptimizer::OpenOptimizer(
    const NetworkRef& root, PathSpace space, torch::optim::Optimizer& optimizer)
    : root_(root.owner()),
      space_(std::move(space)),
      all_gates_(all_gates_of(root.module("OpenOptimizer"))),
      optimizer_(optimizer) {
  TORCH_CHECK_VALUE(
      dynamic_cast<torch::optim::LBFGS*>(&optimizer) == nullptr,
      "OpenOptimizer: expected an optimizer that treats each parameter by "
      "itself, got LBFGS");
  check_space(all_gates_, space_);
  const Builder builder(*this, root.module("OpenOptimizer"));
}

void OpenOptimizer::apply(const Path& path) {
  remember();
  space_.apply(path);
}

void OpenOptimizer::zero_grad() {
  remember();
  for_each_used(
      [](const Entry& entry) { entry.parameter.mutable_grad().reset(); });
  std::erase_if(used_, [this](size_t unit) {
    Used& used = units_[unit].used;
    used = used == Used::kThisRound ? Used::kLastRound : Used::kLongAgo;
    return used == Used::kLongAgo;
  });
  for (const Consumer& consumer : consumers_) {
    consumer.layer->forget_used();
  }
}

std::vector<torch::Tensor> OpenOptimizer::parameters() {
  remember();
  std::vector<torch::Tensor> result;
  for (const Entry* entry : used_entries()) {
    result.push_back(entry->parameter);
  }
  return result;
}

torch::Tensor OpenOptimizer::step(
    torch::optim::Optimizer::LossClosure closure) {
  check_groups();
  torch::Tensor loss;
  if (closure) {
    // Run here, since what it opens has to be known before the step.
    const torch::AutoGradMode with_grad(true);
    loss = closure();
  }
  remember();
  for (auto& open : open_groups_) {
    open.clear();
  }
  for (const Entry* entry : used_entries()) {
    if (entry->group >= 0) {
      open_groups_[static_cast<size_t>(entry->group)].push_back(
          entry->parameter);
    }
  }
  struct Swap {
    Swap(
        std::vector<torch::optim::OptimizerParamGroup>& all,
        std::vector<std::vector<torch::Tensor>>& open)
        : all_(all), open_(open) {
      exchange();
    }
    ~Swap() { exchange(); }
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
  const Swap only_open(optimizer_.param_groups(), open_groups_);
  optimizer_.step();
  return loss;
}

void OpenOptimizer::remember() {
  use(0);
  for (const GateSetting& setting : all_gates_.ran()) {
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

void OpenOptimizer::use(size_t unit) {
  Used& used = units_[unit].used;
  if (used == Used::kLongAgo) {
    used_.push_back(unit);
  }
  used = Used::kThisRound;
}

void OpenOptimizer::check_groups() const {
  const auto& groups = optimizer_.param_groups();
  TORCH_CHECK(
      groups.size() == group_sizes_.size(),
      "OpenOptimizer::step: expected the optimizer's ",
      group_sizes_.size(),
      " parameter groups, got ",
      groups.size(),
      "; make a new OpenOptimizer after adding groups");
  for (size_t g = 0; g < groups.size(); ++g) {
    TORCH_CHECK(
        groups[g].params().size() == group_sizes_[g],
        "OpenOptimizer::step: expected the ",
        group_sizes_[g],
        " parameters of the optimizer's group ",
        g,
        ", got ",
        groups[g].params().size(),
        "; make a new OpenOptimizer after adding parameters");
  }
}

// What is summed over them, a norm say, is then the same to the bit, and a
// first step holds no more memory at once than the optimizer's own.
std::vector<const OpenOptimizer::Entry*> OpenOptimizer::used_entries() {
  std::vector<const Entry*> entries;
  for_each_used([&](const Entry& entry) { entries.push_back(&entry); });
  std::sort(entries.begin(), entries.end(), [](const Entry* a, const Entry* b) {
    return a->number < b->number;
  });
  return entries;
}

template <class Visit>
void OpenOptimizer::for_each_used(Visit visit) {
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
