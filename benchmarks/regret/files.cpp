// SPDX-License-Identifier: MIT
#include "regret/files.hpp"

#include <gatedpaths/search/plot.hpp>

#include <c10/util/Exception.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <string>
#include <utility>

namespace bench {
namespace {

namespace gp = gatedpaths;

// The first evaluations are random ones, whose regret would leave no room for
// the others'.
constexpr std::size_t kFirstDrawn = 20;
constexpr std::size_t kMostPoints = 250;

void write_text(const std::filesystem::path& file, const std::string& text) {
  std::ofstream stream(file);
  stream << text;
  stream.close();
  TORCH_CHECK(
      stream, "expected a file that can be written, got '", file.string(), "'");
}

nlohmann::json json_of(const StrategyRuns& runs) {
  const Quartiles quartiles(runs.runs);
  nlohmann::json json = {
      {"median", quartiles.median},
      {"low_quartile", quartiles.low},
      {"high_quartile", quartiles.high},
      {"seeds", runs.runs.size()},
      {"seconds_per_trial", runs.seconds_per_trial()},
      {"note", runs.kind->note}};
  for (const std::size_t evaluations : {100, 200, 500}) {
    if (evaluations <= quartiles.median.size()) {
      auto& by_seed = json[fmt::format("regret_at_{}", evaluations)];
      for (const auto& run : runs.runs) {
        by_seed.push_back(run.regrets[evaluations - 1]);
      }
    }
  }
  return json;
}

std::vector<gp::PlotPoint> curve_of(const Regrets& regrets) {
  const auto step = std::max<std::size_t>(regrets.size() / kMostPoints, 1);
  std::vector<gp::PlotPoint> points;
  for (auto number = std::min(kFirstDrawn, regrets.size());
       number <= regrets.size();
       number += step) {
    points.push_back({static_cast<double>(number), regrets[number - 1]});
  }
  return points;
}

std::string picture_of(const TableRuns& runs) {
  std::vector<gp::PlotSeries> areas;
  std::vector<gp::PlotSeries> lines;
  for (const auto& strategy : runs.strategies) {
    const Quartiles quartiles(strategy.runs);
    auto around = curve_of(quartiles.low);
    const auto high = curve_of(quartiles.high);
    around.insert(around.end(), high.rbegin(), high.rend());
    areas.push_back(
        {.colour = strategy.kind->colour,
         .mark = gp::PlotMark::kArea,
         .points = std::move(around)});
    lines.push_back(
        {.label = strategy.kind->name,
         .colour = strategy.kind->colour,
         .mark = gp::PlotMark::kLine,
         .points = curve_of(quartiles.median)});
  }
  areas.insert(areas.end(), lines.begin(), lines.end());
  return gp::plot_svg(
      "evaluations", "regret on " + runs.table->name() + ", in %", areas);
}

}  // namespace

void write_regret_json(
    const std::vector<TableRuns>& all,
    const RegretSettings& settings,
    double seconds,
    const std::filesystem::path& file) {
  nlohmann::json json = {
      {"evaluations", settings.evaluations},
      {"threads", settings.threads},
      {"seconds", seconds}};
  for (const auto& runs : all) {
    auto& table = json["tables"][runs.table->name()];
    table = {
        {"told", runs.table->told()},
        {"reported", runs.table->reported()},
        {"optimum", runs.table->optimum()}};
    for (const auto& strategy : runs.strategies) {
      table["strategies"][strategy.kind->name] = json_of(strategy);
    }
  }
  write_text(file, json.dump() + "\n");
}

void write_regret_pictures(
    const std::vector<TableRuns>& all, const std::filesystem::path& file) {
  for (const auto& runs : all) {
    auto name = file.stem();
    name += "_" + runs.table->name();
    name += file.extension();
    write_text(file.parent_path() / name, picture_of(runs));
  }
}

}  // namespace bench
