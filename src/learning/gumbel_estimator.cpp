// SPDX-License-Identifier: MIT
#include <gatedpaths/learning/gumbel_estimator.hpp>

#include <gatedpaths/gates/branch_weighting.hpp>

#include "../random/counter_random.hpp"
#include "../random/gumbel_noise.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <cmath>
#include <string_view>
#include <utility>

namespace gatedpaths {
namespace {

double checked_temperature(std::string_view function, double value) {
  TORCH_CHECK_VALUE(
      std::isfinite(value) && value > 0,
      fmt::format(
          "{}: expected a temperature above 0, got {}", function, value));
  return value;
}

}  // namespace

GumbelEstimator::GumbelEstimator(
    PathLogits logits,
    PathSpace space,
    uint64_t seed,
    const GumbelOptions& options)
    : PathEstimator(
          "GumbelEstimator", std::move(logits), std::move(space), seed),
      temperature_(
          checked_temperature("GumbelEstimator", options.temperature())) {
  find_blocks();
}

int64_t GumbelEstimator::branches_run(int64_t gate) const {
  space().layout()->gate(gate);  // throws where there is none
  return 1;
}

void GumbelEstimator::set_temperature(double value) {
  temperature_ = checked_temperature("GumbelEstimator::set_temperature", value);
}

PathEstimator::Draw GumbelEstimator::draw(
    const std::vector<std::vector<double>>& values, uint64_t step) {
  const uint64_t stream = this->stream();
  Draw drawn;
  drawn.path = space().layout()->make_path(
      [&](int64_t gate, std::vector<int64_t>& open) {
        const auto& of_gate = values[static_cast<size_t>(gate)];
        detail::CounterRandom random(stream, step, static_cast<uint64_t>(gate));
        const auto noise = detail::gumbel_noise(random, of_gate.size());
        open.push_back(detail::argmax(of_gate, noise));
        drawn.weightings.emplace_back(
            gate,
            std::make_shared<BranchWeighting>(BranchWeighting{
                .logits = logits()->logits(gate),
                .noise = beside_logits(gate, noise),
                .temperature = temperature_,
                .active = open.front()}));
      });
  return drawn;
}

PathEstimator::Numbers GumbelEstimator::numbers() const {
  return {{"temperature", temperature_}};
}

void GumbelEstimator::check_numbers(const Numbers& saved) const {
  checked_temperature("GumbelEstimator::load", saved.front().second);
}

void GumbelEstimator::set_numbers(const Numbers& saved) {
  temperature_ = saved.front().second;
}

}  // namespace gatedpaths
