// SPDX-License-Identifier: MIT
#include "evaluated_net.hpp"

#include <ATen/autocast_mode.h>
#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <set>

namespace gatedpaths::detail {
namespace {

using NamedModules =
    std::vector<std::pair<const torch::nn::Module*, std::string>>;

void collect_named(
    const torch::nn::Module& module,
    const std::string& name,
    std::set<const torch::nn::Module*>& seen,
    NamedModules& modules) {
  if (!seen.insert(&module).second) {
    return;
  }
  modules.emplace_back(&module, name.empty() ? "." : name);
  for (const auto& child : module.named_children()) {
    if (child.value() != nullptr) {
      collect_named(
          *child.value(),
          name.empty() ? child.key() : name + "." + child.key(),
          seen,
          modules);
    }
  }
}

NamedModules modules_below(const torch::nn::Module& module) {
  std::set<const torch::nn::Module*> seen;
  NamedModules modules;
  collect_named(module, "", seen, modules);
  return modules;
}

}  // namespace

EvaluatedNet::EvaluatedNet(torch::nn::Module& net)
    : kept_(net, /*track_statistics=*/false), modules_(modules_below(net)) {
  net.eval();
}

EvaluatedNet::~EvaluatedNet() { at::autocast::clear_cache(); }

void EvaluatedNet::check_space(const PathSpace& space) const {
  std::set<const GatedModule*> own;
  for (const auto& [module, name] : modules_) {
    if (const auto* gate = dynamic_cast<const GatedModule*>(module)) {
      own.insert(gate);
    }
  }
  for (int64_t i = 0; i < space.num_gates(); ++i) {
    TORCH_CHECK_VALUE(
        own.contains(&space.gate(i)),
        fmt::format(
            "evaluate: expected a space of the network, got one whose gate "
            "'{}' is none of its modules",
            space.gate_name(i)));
  }
}

void EvaluatedNet::check_stages(c10::ArrayRef<Stage> stages) {
  for (size_t i = 0; i < stages.size(); ++i) {
    if (stages[i].module() == nullptr) {
      continue;
    }
    for (const auto& [module, name] : modules_below(*stages[i].module())) {
      TORCH_CHECK_VALUE(
          !module->is_training(),
          fmt::format(
              "evaluate: expected stages whose modules are in eval mode, got "
              "'{}' ({}) of stage {} in training mode: it lies outside of the "
              "network",
              name,
              module->name(),
              i));
    }
  }
}

void EvaluatedNet::check_modes() const {
  for (const auto& [module, name] : modules_) {
    TORCH_CHECK_VALUE(
        !module->is_training(),
        fmt::format(
            "evaluate: expected forwards that leave the network in eval mode, "
            "got '{}' in training mode",
            name));
  }
}

}  // namespace gatedpaths::detail
