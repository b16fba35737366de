// SPDX-License-Identifier: MIT
#include <gatedpaths/learning/two_path_estimator.hpp>

#include <gatedpaths/gates/branch_weighting.hpp>

#include "../random/counter_random.hpp"
#include "../random/gumbel_noise.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/stack.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <utility>

namespace gatedpaths {
namespace {

struct Pair {
  int64_t active;
  int64_t other;  // -1 for a gate of one branch
};

// The largest two of logit plus Gumbel noise are two draws without replacement
// (Kool et al., "Stochastic beams and where to find them", arXiv:1903.06059).
Pair draw_pair(
    const std::vector<double>& logits, detail::CounterRandom& random) {
  const auto noise = detail::gumbel_noise(random, logits.size());
  const int64_t first = detail::argmax(logits, noise);
  const int64_t second = detail::argmax(logits, noise, /*except=*/first);
  if (second < 0) {
    return {first, second};
  }
  const double q = detail::sigmoid(
      logits[static_cast<size_t>(first)] - logits[static_cast<size_t>(second)]);
  return detail::open_uniform(random) < q ? Pair{first, second}
                                          : Pair{second, first};
}

int64_t version_of_logits(const torch::Tensor& tensor) {
  return !tensor.defined() || tensor.is_inference()
             ? 0
             : static_cast<int64_t>(tensor._version());
}

}  // namespace

TwoPathEstimator::TwoPathEstimator(
    PathLogits logits, PathSpace space, uint64_t seed)
    : PathEstimator(
          "TwoPathEstimator", std::move(logits), std::move(space), seed) {
  find_blocks();
}

int64_t TwoPathEstimator::branches_run(int64_t gate) const {
  const auto& branches = space().layout()->gate(gate).branch_names;
  return std::min<int64_t>(2, static_cast<int64_t>(branches.size()));
}

PathEstimator::Draw TwoPathEstimator::draw(
    const std::vector<std::vector<double>>& values, uint64_t step) {
  const SpaceLayout& layout = *space().layout();
  const uint64_t stream = this->stream();
  Draw drawn;
  std::vector<Pair> pairs(values.size(), Pair{-1, -1});  // -1: does not run
  const auto draw_gate = [&](int64_t gate) {
    detail::CounterRandom random(stream, step, static_cast<uint64_t>(gate));
    return pairs[static_cast<size_t>(gate)] =
               draw_pair(values[static_cast<size_t>(gate)], random);
  };
  drawn.path = layout.make_path([&](int64_t gate, std::vector<int64_t>& open) {
    const auto [active, other] = draw_gate(gate);
    open.push_back(active);
    if (other < 0) {
      return;
    }
    touch(gate, active);
    touch(gate, other);
    drawn.weightings.emplace_back(
        gate,
        std::make_shared<BranchWeighting>(BranchWeighting{
            .logits = logits()->logits(gate),
            .active = active,
            .other = other}));
  });
  // What runs in second branches, outer gates first.
  for (int64_t gate = 0; gate < layout.num_gates(); ++gate) {
    const auto& places = layout.gates()[static_cast<size_t>(gate)].places;
    const bool runs =
        std::any_of(places.begin(), places.end(), [&](const GatePlace& place) {
          const Pair& around = pairs[static_cast<size_t>(place.gate)];
          return place.branch == around.active ||
                 (drawn.path.reaches(place.gate) &&
                  place.branch == around.other);
        });
    if (runs && !drawn.path.reaches(gate)) {
      drawn.beside.emplace_back(gate, draw_gate(gate).active);
    }
  }
  return drawn;
}

void TwoPathEstimator::touch(int64_t gate, int64_t branch) {
  const auto [place, is_new] = touched_.try_emplace(gate);
  Touched& touched = place->second;
  if (is_new) {
    const torch::Tensor& logits = this->logits()->logits(gate);
    touched.before = logits.detach().clone();
    touched.version = version_of_logits(logits);
    touched.gradient = logits.grad();
    touched.gradient_version = version_of_logits(logits.grad());
  }
  auto& branches = touched.branches;
  const auto at = std::lower_bound(branches.begin(), branches.end(), branch);
  if (at == branches.end() || *at != branch) {
    branches.insert(at, branch);
  }
}

torch::Tensor TwoPathEstimator::objective(const torch::Tensor& loss) {
  auto result = PathEstimator::objective(loss);
  for (auto& [gate, touched] : touched_) {
    const torch::Tensor& logits = this->logits()->logits(gate);
    if (!touched.asked && version_of_logits(logits) != touched.version) {
      touched.before = logits.detach().clone();
    }
    touched.asked = true;
  }
  return result;
}

// Optimizers leave alone what has no gradient, so that other changes are not
// theirs.
bool TwoPathEstimator::may_have_moved(
    int64_t gate, const Touched& touched) const {
  const torch::Tensor& gradient = logits()->logits(gate).grad();
  return touched.asked || !gradient.is_same(touched.gradient) ||
         version_of_logits(gradient) != touched.gradient_version;
}

void TwoPathEstimator::finish_step() {
  PathEstimator::finish_step();
  const at::NoGradGuard no_grad;
  std::vector<std::pair<torch::Tensor, torch::Tensor>> results;
  for (const auto& [gate, touched] : touched_) {
    if (!may_have_moved(gate, touched)) {
      continue;
    }
    const torch::Tensor& now = logits()->logits(gate);
    const auto pick = [&branches =
                           touched.branches](const torch::Tensor& from) {
      std::vector<torch::Tensor> picked;
      picked.reserve(branches.size());
      for (const int64_t branch : branches) {
        picked.push_back(from.select(0, branch));
      }
      return at::stack(picked);
    };
    const auto old_values = pick(touched.before);
    const auto new_values = pick(now);
    const auto shift =
        at::logsumexp(old_values, 0) - at::logsumexp(new_values, 0);
    torch::Tensor result = touched.before.clone();
    for (size_t i = 0; i < touched.branches.size(); ++i) {
      result.select(0, touched.branches[i])
          .copy_(new_values[static_cast<int64_t>(i)] + shift);
    }
    results.emplace_back(now, std::move(result));
  }
  for (const auto& [now, result] : results) {
    torch::Tensor(now).copy_(result);
  }
  touched_.clear();
}

void TwoPathEstimator::check_between_steps() const {
  TORCH_CHECK(
      touched_.empty(),
      "TwoPathEstimator::save: expected a call of finish_step after apply, got "
      "none");
}

}  // namespace gatedpaths
