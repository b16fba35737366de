// SPDX-License-Identifier: MIT
#include "ranking_pictures.hpp"

#include <gatedpaths/search/plot.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace nas_bench_macro {
namespace {

using gatedpaths::PlotMark;
using gatedpaths::PlotPoint;
using gatedpaths::PlotSeries;

constexpr auto kAllColour = "#c0c8d4";
constexpr auto kBestColour = "#1f77b4";
constexpr auto kRankedColour = "#d9820f";
constexpr auto kFoundColour = "#c8102e";

PlotPoint point_of(const Record& record) {
  return {static_cast<double>(record.flops) / 1e6, record.accuracy()};
}

/// A net, and how good something takes it to be.
struct Rated {
  const Record* record = nullptr;
  double value = 0;
};

/// Those that nothing is taken to be better than for as few FLOPs.
std::vector<PlotPoint> front(std::vector<Rated> nets) {
  std::stable_sort(nets.begin(), nets.end(), [](const auto& a, const auto& b) {
    return a.record->flops < b.record->flops;
  });
  std::vector<PlotPoint> points;
  auto best = -std::numeric_limits<double>::infinity();
  for (const auto& [record, value] : nets) {
    if (value > best) {
      best = value;
      points.push_back(point_of(*record));
    }
  }
  return points;
}

double value_of(const Options& options, const Score& score) {
  return options.score == "loss" ? -score.loss : score.accuracy;
}

}  // namespace

std::string supernet_against_table_svg(
    const Options& options, const Table& table, const Scores& scores) {
  const bool by_loss = options.score == "loss";
  PlotSeries nets{.label = "a net", .colour = kBestColour, .dot_size = 2};
  for (const auto& [net, score] : scores) {
    nets.points.push_back(
        {by_loss ? score.loss : 100 * score.accuracy,
         table.at(net).accuracy()});
  }
  return gatedpaths::plot_svg(
      by_loss ? "loss in the supernet, on held-out images"
              : "accuracy in the supernet, on held-out images, in %",
      "published test accuracy, in %",
      {std::move(nets)});
}

std::string accuracy_against_flops_svg(
    const Options& options,
    const Table& table,
    const Scores& scores,
    const std::string& found) {
  PlotSeries all{.label = "all nets", .colour = kAllColour, .dot_size = 3};
  std::vector<Rated> by_table;
  for (const auto& record : table.records()) {
    all.points.push_back(point_of(record));
    by_table.push_back({&record, record.accuracy()});
  }
  std::vector<Rated> by_supernet;
  for (const auto& [net, score] : scores) {
    by_supernet.push_back({&table.at(net), value_of(options, score)});
  }
  return gatedpaths::plot_svg(
      "FLOPs, in millions",
      "published test accuracy, in %",
      {std::move(all),
       {.label = "the best for their FLOPs",
        .colour = kBestColour,
        .mark = PlotMark::kLine,
        .points = front(std::move(by_table))},
       {.label = "what the supernet takes for these",
        .colour = kRankedColour,
        .points = front(std::move(by_supernet))},
       {.label = "found",
        .colour = kFoundColour,
        .points = {point_of(table.at(found))}}});
}

}  // namespace nas_bench_macro
