// SPDX-License-Identifier: MIT
#include "stage_gates.hpp"

#include "../text/text.hpp"

#include <c10/util/Exception.h>
#include <torch/nn/module.h>

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>
#include <unordered_map>

namespace gatedpaths::detail {
namespace {

using StageOfModule = std::unordered_map<const GatedModule*, int64_t>;

// By hand, since LibTorch's own walks throw for a module on the stack.
void note_gates_below(
    torch::nn::Module& module,
    int64_t stage,
    StageOfModule& stages,
    std::set<const torch::nn::Module*>& seen) {
  if (!seen.insert(&module).second) {
    return;  // in an earlier stage, too
  }
  if (const auto* gate = dynamic_cast<const GatedModule*>(&module)) {
    stages.emplace(gate, stage);
  }
  for (const auto& child : module.named_children()) {
    if (child.value() != nullptr) {
      note_gates_below(*child.value(), stage, stages, seen);
    }
  }
}

// A forward leaves no other trace that every gate has in common: it forgets
// what the one before it ran, which here is a branch that there cannot be.
struct UnrunMark : GatedModule {
  static constexpr int64_t kBranch = -1;
  static void put_on(GatedModule& gate) {
    (gate.*(&UnrunMark::begin_forward_of))(kBranch);
  }
  static bool is_on(const GatedModule& gate) {
    return gate.ran_branches() == c10::IntArrayRef(kBranch);
  }
};

std::string branches_text(const GatedModule& gate, c10::IntArrayRef branches) {
  return listed(branches, [&](int64_t branch) {
    return fmt::format(
        "'{}'", gate.branch_names()[static_cast<size_t>(branch)]);
  });
}

}  // namespace

StageGates::StageGates(const PathSpace& space, c10::ArrayRef<Stage> stages)
    : space_(space),
      stages_(static_cast<size_t>(space.num_gates())),
      seen_(stages_.size()) {
  StageOfModule known;
  std::set<const torch::nn::Module*> seen;
  for (size_t i = 0; i < stages.size(); ++i) {
    if (stages[i].module() != nullptr) {
      note_gates_below(
          *stages[i].module(), static_cast<int64_t>(i), known, seen);
    }
  }
  for (int64_t gate = 0; gate < space.num_gates(); ++gate) {
    if (const auto found = known.find(&space.gate(gate));
        found != known.end()) {
      stages_[static_cast<size_t>(gate)] = found->second;
    }
  }
}

void StageGates::start(const Path& path) {
  watched_.clear();
  for (const int64_t gate : path.gates()) {
    if (!seen_[static_cast<size_t>(gate)]) {
      watched_.push_back(gate);
      UnrunMark::put_on(space_.gate(gate));
    }
  }
}

void StageGates::ran(int64_t stage) {
  std::erase_if(watched_, [&](int64_t gate) {
    if (UnrunMark::is_on(space_.gate(gate))) {
      return false;
    }
    auto& own = stages_[static_cast<size_t>(gate)];
    TORCH_CHECK_VALUE(
        own.value_or(stage) <= stage,
        fmt::format(
            "evaluate: expected gate '{}' to run in stage {}, whose module it "
            "lies in, or in a later one, got a run in stage {}; give the "
            "stages "
            "in the order in which they run",
            space_.gate_name(gate),
            *own,
            stage));
    own = own.value_or(stage);
    seen_[static_cast<size_t>(gate)] = true;
    return true;
  });
}

void StageGates::check(const Path& path) const {
  for (const auto& [number, open] : path) {
    const GatedModule& gate = space_.gate(number);
    const auto ran = gate.ran_branches();
    TORCH_CHECK_VALUE(
        ran == open || UnrunMark::is_on(gate),
        fmt::format(
            "evaluate: expected gate '{}' to run the branches that the path "
            "opens ({}), got a run of ({}); a gate that draws in eval mode, or "
            "that gets gates for each sample, is no choice of a path: leave it "
            "out of the space (GateFilter)",
            space_.gate_name(number),
            branches_text(gate, open),
            branches_text(gate, ran)));
  }
}

void StageGates::settle() {
  const auto& gates = space_.layout()->gates();
  // A gate comes after those that it lies in.
  for (size_t i = 0; i < stages_.size(); ++i) {
    if (stages_[i]) {
      continue;
    }
    stages_[i] = 0;
    if (!gates[i].places.empty()) {
      stages_[i] = of(std::min_element(
                          gates[i].places.begin(),
                          gates[i].places.end(),
                          [&](const GatePlace& a, const GatePlace& b) {
                            return of(a.gate) < of(b.gate);
                          })
                          ->gate);
    }
  }
}

}  // namespace gatedpaths::detail
