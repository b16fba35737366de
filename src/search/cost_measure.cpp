// SPDX-License-Identifier: MIT
#include <gatedpaths/paths/uniform_sampler.hpp>
#include <gatedpaths/search/cost_model.hpp>

#include "additive_fit.hpp"
#include "cost_table.hpp"
#include "cover_paths.hpp"
#include "latency.hpp"
#include "path_meter.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

namespace gatedpaths {
namespace {

void check_options(const CostOptions& options) {
  const auto check = [](std::string_view name, int64_t value) {
    TORCH_CHECK_VALUE(
        value >= 0,
        fmt::format(
            "CostModel::measure: expected {} of at least 0, got {}",
            name,
            value));
  };
  check("latency_repetitions", options.latency_repetitions());
  check("warm_up", options.warm_up());
  check("checked_paths", options.checked_paths());
}

// The first branches in every other gate and the last ones in the rest: what
// depends on a neighbour differs there.
Path alternating_path(const SpaceLayout& layout, bool odd_first) {
  return layout.make_path([&](int64_t number, std::vector<int64_t>& open) {
    const GateLayout& gate = layout.gate(number);
    const int64_t count = std::max<int64_t>(gate.min_open, 1);
    open.resize(static_cast<size_t>(count));
    const auto branches = static_cast<int64_t>(gate.branch_names.size());
    const bool first = (number % 2 == 1) == odd_first;
    std::iota(open.begin(), open.end(), first ? 0 : branches - count);
  });
}

bool has_few_paths(const SpaceLayout& layout, int64_t limit) {
  const bool is_tree = std::all_of(
      layout.gates().begin(), layout.gates().end(), [](const auto& gate) {
        return gate.places.size() < 2;
      });
  return is_tree && layout.log2_size() < 32 &&
         layout.size() <= static_cast<uint64_t>(limit);
}

std::vector<Path> paths_to_check(
    const std::shared_ptr<const SpaceLayout>& layout, int64_t count) {
  std::vector<Path> paths;
  if (count == 0) {
    return paths;
  }
  if (has_few_paths(*layout, count + 2)) {
    for (uint64_t i = 0; i < layout->size(); ++i) {
      paths.push_back(layout->at(i));
    }
    return paths;
  }
  paths.push_back(alternating_path(*layout, false));
  paths.push_back(alternating_path(*layout, true));
  UniformSampler sampler(layout, /*seed=*/0);
  for (int64_t i = 0; i < count; ++i) {
    paths.push_back(sampler.next());
  }
  return paths;
}

void fill(PathCost& cost, const detail::Tally& tally) {
  cost.macs = tally[0];
  cost.flops = tally[1];
  cost.parameters = tally[2];
  cost.parameter_bytes = tally[3];
  cost.activation_bytes = tally[4];
}

void fill(PathCost& cost, const detail::MeasuredTime& time) {
  cost.latency = time.median;
  cost.latency_spread = time.spread;
}

template <class Parts>
void fill_all(detail::CostTable& table, const Parts& parts) {
  for (const auto& [place, part] : parts) {
    if (place == detail::kOutsideOfGates) {
      fill(table.outside, part);
    } else {
      fill(
          table.branches[static_cast<size_t>(place.gate)]
                        [static_cast<size_t>(place.branch)],
          part);
    }
  }
}

// The first branch that a path opened and that was not seen to run, as those of
// a gate that runs them by itself are not; its time is somewhere outside.
std::string unseen_branch(
    const SpaceLayout& layout, const detail::PathMeter& meter) {
  for (int64_t i = 0; i < layout.num_gates(); ++i) {
    const auto& names = layout.gate(i).branch_names;
    for (size_t b = 0; b < names.size(); ++b) {
      if (!meter.was_entered({i, static_cast<int64_t>(b)})) {
        return fmt::format(
            "branch '{}' of '{}' was not seen to run",
            names[b],
            layout.gate(i).name);
      }
    }
  }
  return "";
}

// Why times of parts would not add up; empty where they do.
std::string why_not_by_part(
    const SpaceLayout& layout,
    const detail::PathMeter& meter,
    const detail::AdditiveFit& fit) {
  if (!fit.adds_up[0]) {
    return "latency follows the operations, which do not add up";
  }
  if (!fit.outside_is_constant) {
    return "latency outside of all gates depends on the path, as the "
           "operations there do";
  }
  const std::string unseen = unseen_branch(layout, meter);
  return unseen.empty() ? "" : "latency of parts is not known: " + unseen;
}

}  // namespace

CostModel CostModel::measure_network(
    const NetworkRef& net,
    const PathSpace& space,
    detail::NetworkRun run,
    const CostOptions& options) {
  check_options(options);
  net.module("CostModel::measure");  // before anything is called
  auto meter =
      std::make_shared<detail::PathMeter>(net, space, std::move(run), options);
  const auto& layout = space.layout();
  auto table = std::make_shared<detail::CostTable>();
  table->convention = options.convention().name;
  table->device = meter->device().str();
  for (const GateLayout& gate : layout->gates()) {
    table->branches.emplace_back(gate.branch_names.size());
  }
  table->has.fill(true);
  table->has[static_cast<size_t>(CostKind::kActivationBytes)] =
      options.activations();
  table->has[static_cast<size_t>(CostKind::kLatency)] =
      options.latency_repetitions() > 0;
  table->is_additive.fill(true);

  const std::vector<Path> cover = detail::cover_paths(*layout);
  detail::AdditiveFit fit;
  {
    const detail::PathMeter::Session session(*meter);
    std::vector<detail::MeasuredPath> runs;
    runs.reserve(cover.size());
    for (const Path& path : cover) {
      runs.emplace_back(path, meter->run(session, path));
    }
    table->unknown = meter->unknown();
    fit = detail::fit_parts(
        *layout,
        std::move(runs),
        [&](const Path& path) { return meter->run(session, path); },
        paths_to_check(layout, options.checked_paths()));
  }
  fill_all(*table, fit.parts);
  std::copy(fit.adds_up.begin(), fit.adds_up.end(), table->is_additive.begin());
  table->why_not_additive = fit.why_not;

  if (options.latency_repetitions() > 0) {
    const std::string why_not = why_not_by_part(*layout, *meter, fit);
    if (why_not.empty()) {
      fill_all(*table, detail::measure_times(*meter, cover));
    } else {
      table->is_additive.back() = false;
      table->why_not_additive +=
          (table->why_not_additive.empty() ? "" : "; ") + why_not;
    }
  }
  return {layout, std::move(table), std::move(meter)};
}

}  // namespace gatedpaths
