// SPDX-License-Identifier: MIT
#include <gatedpaths/training/open_optimizer.hpp>

#include "../gates/gate_walk.hpp"
#include "../paths/every_gate.hpp"
#include "../text/tensor_text.hpp"
#include "gradient_watch.hpp"

#include <c10/util/Exception.h>
#include <torch/optim/lbfgs.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace gatedpaths {

namespace {

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
    read_groups();
    walk(root);
    for (size_t number = 0; number < owner_.entries_.size(); ++number) {
      if (!in_network_[number]) {
        owner_.units_[0].entries.push_back(number);
      }
    }
  }

 private:
  using Impls = std::unordered_set<const c10::TensorImpl*>;
  struct WalkPlace {
    size_t unit;
    std::shared_ptr<const Impls> in_slots;  // of the layer around, if any
  };

  size_t add_units(int64_t count) {
    const size_t first = owner_.units_.size();
    owner_.units_.resize(first + static_cast<size_t>(count));
    return first;
  }

  void read_groups() {
    const auto& groups = owner_.optimizer_.param_groups();
    for (size_t g = 0; g < groups.size(); ++g) {
      const auto& parameters = groups[g].params();
      owner_.group_sizes_.push_back(parameters.size());
      for (size_t i = 0; i < parameters.size(); ++i) {
        if (!parameters[i].defined()) {
          continue;
        }
        const auto [known, is_new] = numbers_.emplace(
            parameters[i].unsafeGetTensorImpl(), owner_.entries_.size());
        if (is_new) {
          owner_.entries_.push_back({parameters[i], {}});
        }
        owner_.entries_[known->second].places.push_back({g, i});
      }
    }
    owner_.seen_.resize(numbers_.size());
    owner_.open_groups_.resize(groups.size());
    in_network_.resize(numbers_.size());
  }

  void add(const torch::Tensor& parameter, size_t unit) {
    const auto known = numbers_.find(parameter.unsafeGetTensorImpl());
    if (known == numbers_.end()) {
      return;  // not the optimizer's
    }
    owner_.units_[unit].entries.push_back(known->second);
    in_network_[known->second] = true;
  }

  void walk(torch::nn::Module& root) {
    detail::walk_gates(
        root,
        WalkPlace{0, nullptr},
        [this](const detail::WalkedModule& at, WalkPlace& place) {
          return visit(at, place);
        },
        [this](
            const GatedModule& gate, int64_t branch, const WalkPlace& place) {
          const size_t first = owner_.first_units_[gates_.at(&gate)];
          return std::optional(
              WalkPlace{first + static_cast<size_t>(branch), place.in_slots});
        });
  }

  bool visit(const detail::WalkedModule& at, WalkPlace& place) {
    torch::nn::Module& module = at.module;
    if (!visited_.emplace(&module, at.around, place.unit).second) {
      return false;
    }
    if (auto* layer = dynamic_cast<SlotConsumer*>(&module)) {
      place.in_slots =
          std::make_shared<const Impls>(add_slots(*layer, place.unit));
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
  Impls add_slots(SlotConsumer& layer, size_t unit) {
    const auto [known, is_new] =
        layers_.emplace(&layer, owner_.consumers_.size());
    if (is_new) {
      owner_.consumers_.push_back({&layer, add_units(layer.num_slots())});
    }
    owner_.units_[unit].consumers.push_back(known->second);
    const size_t first = owner_.consumers_[known->second].first_unit;
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
  std::set<std::tuple<const torch::nn::Module*, const GatedModule*, size_t>>
      visited_;
  std::unordered_map<const SlotConsumer*, size_t> layers_;
  std::unordered_map<const GatedModule*, size_t> gates_;
  std::unordered_map<const c10::TensorImpl*, size_t> numbers_;
  std::vector<bool> in_network_;  // by number
};

OpenOptimizer::OpenOptimizer(
    const NetworkRef& root, PathSpace space, torch::optim::Optimizer& optimizer)
    : root_(root.owner()),
      space_(std::move(space)),
      all_gates_(root.module("OpenOptimizer"), detail::every_gate),
      optimizer_(optimizer) {
  TORCH_CHECK_VALUE(
      dynamic_cast<torch::optim::LBFGS*>(&optimizer) == nullptr,
      "OpenOptimizer: expected an optimizer that treats each parameter by "
      "itself, got LBFGS");
  check_space(all_gates_, space_);
  const Builder builder(*this, root.module("OpenOptimizer"));
  std::vector<torch::Tensor> parameters;
  for (const Entry& entry : entries_) {
    parameters.push_back(entry.parameter);
  }
  watch_ = std::make_unique<detail::GradientWatch>(std::move(parameters));
}

OpenOptimizer::~OpenOptimizer() = default;

OpenOptimizer::OpenOptimizer(OpenOptimizer&& other) noexcept = default;

void OpenOptimizer::apply(const Path& path) {
  remember();
  space_.apply(path);
}

void OpenOptimizer::zero_grad() {
  remember();
  for (const size_t number : used_entries()) {
    entries_[number].parameter.mutable_grad().reset();
  }
  watch_->clear();
  for (const size_t unit : used_) {
    for (const size_t consumer : units_[unit].consumers) {
      consumers_[consumer].layer->forget_used();
    }
  }
  std::erase_if(used_, [this](size_t unit) {
    Used& used = units_[unit].used;
    used = used == Used::kThisRound ? Used::kLastRound : Used::kLongAgo;
    return used == Used::kLongAgo;
  });
}

std::vector<torch::Tensor> OpenOptimizer::parameters() {
  remember();
  std::vector<torch::Tensor> result;
  for (const auto& [place, number] : used_places()) {
    result.push_back(entries_[number].parameter);
  }
  return result;
}

torch::Tensor OpenOptimizer::step(
    const torch::optim::Optimizer::LossClosure& closure) {
  check_groups();
  torch::Tensor loss;
  if (closure) {
    // Run here, since what it opens has to be known before the step.
    const torch::AutoGradMode with_grad(true);
    loss = closure();
    check_groups();
  }
  remember();
  watch_->drop_undefined();
  for (auto& open : open_groups_) {
    open.clear();
  }
  for (const auto& [place, number] : used_places()) {
    check_kept(entries_[number]);
    open_groups_[place.group].push_back(entries_[number].parameter);
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
  // By index, since units of slots, which have no layers, are appended.
  // NOLINTNEXTLINE(modernize-loop-convert)
  for (size_t i = 0; i < used_.size(); ++i) {
    for (const size_t number : units_[used_[i]].consumers) {
      const Consumer& consumer = consumers_[number];
      for (const int64_t slot : consumer.layer->used_slots()) {
        use(consumer.first_unit + static_cast<size_t>(slot));
      }
    }
  }
}

void OpenOptimizer::look_at_all() { watch_->look_at_all(); }

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

void OpenOptimizer::check_kept(const Entry& entry) const {
  for (const Place& place : entry.places) {
    const auto& now =
        optimizer_.param_groups()[place.group].params()[place.index];
    TORCH_CHECK(
        now.is_same(entry.parameter),
        "OpenOptimizer::step: expected the optimizer's group ",
        place.group,
        " to have the parameter ",
        detail::tensor_text(entry.parameter),
        " at index ",
        place.index,
        " that it had, got another one, ",
        detail::tensor_text(now),
        "; make a new OpenOptimizer after replacing parameters");
  }
}

std::vector<size_t> OpenOptimizer::used_entries() {
  ++walk_;
  std::vector<size_t> numbers;
  const auto meet = [&](size_t number) {
    if (seen_[number] != walk_) {
      seen_[number] = walk_;
      numbers.push_back(number);
    }
  };
  for (const size_t unit : used_) {
    std::for_each(
        units_[unit].entries.begin(), units_[unit].entries.end(), meet);
  }
  const auto noted = watch_->noted();
  std::for_each(noted.begin(), noted.end(), meet);
  return numbers;
}

// What is summed over them, a norm say, is then the same to the bit, and a
// first step holds no more memory at once than the optimizer's own.
std::vector<std::pair<OpenOptimizer::Place, size_t>>
OpenOptimizer::used_places() {
  std::vector<std::pair<Place, size_t>> places;
  for (const size_t number : used_entries()) {
    for (const Place& place : entries_[number].places) {
      places.emplace_back(place, number);
    }
  }
  std::sort(places.begin(), places.end());
  return places;
}

}  // namespace gatedpaths
