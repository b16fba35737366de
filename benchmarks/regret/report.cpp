// SPDX-License-Identifier: MIT
#include "regret/report.hpp"

#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace bench {
namespace {

// After so many evaluations.
constexpr std::array<std::int64_t, 3> kShown = {100, 200, 500};
constexpr std::size_t kBarEvaluations = 200;
constexpr double kMostOfRandom = 0.7;
constexpr double kMostSeconds = 120;

std::string regret_text(const Quartiles& quartiles, std::int64_t evaluations) {
  const auto place = static_cast<std::size_t>(evaluations - 1);
  return place < quartiles.median.size() ? fmt::format(
                                               "{:.3f} ({:.3f} to {:.3f})",
                                               quartiles.median[place],
                                               quartiles.low[place],
                                               quartiles.high[place])
                                         : "-";
}

void print_table(const TableRuns& runs) {
  const auto& table = *runs.table;
  fmt::print(
      "{}: told the {}, judged by the {}, at best {:.3f} %\n\n",
      table.name(),
      table.told(),
      table.reported(),
      table.optimum());
  constexpr auto kRow =
      "| {:<20} | {:>5} | {:>24} | {:>24} | {:>24} | {:>10} |\n";
  fmt::print(
      kRow,
      "regret after",
      "seeds",
      kShown[0],
      kShown[1],
      kShown[2],
      "us a trial");
  fmt::print(
      "|{:-<22}|{:->6}:|{:->25}:|{:->25}:|{:->25}:|{:->11}:|\n",
      "",
      "",
      "",
      "",
      "",
      "");
  for (const auto& strategy : runs.strategies) {
    const Quartiles quartiles(strategy.runs);
    fmt::print(
        kRow,
        strategy.kind->name,
        strategy.runs.size(),
        regret_text(quartiles, kShown[0]),
        regret_text(quartiles, kShown[1]),
        regret_text(quartiles, kShown[2]),
        fmt::format("{:.1f}", 1e6 * strategy.seconds_per_trial()));
  }
  fmt::print("\n");
}

void print_bar(const std::string& what, double figure, double at_most) {
  fmt::print(
      "| {:<61} | {:>8.3f} | {:>7.2f} | {:>3} |\n",
      what,
      figure,
      at_most,
      figure <= at_most ? "yes" : "NO");
}

void print_bars(
    const std::vector<TableRuns>& all,
    const RegretSettings& settings,
    double seconds) {
  constexpr RegretSettings kFull{};
  fmt::print(
      "| {:<61} | {:>8} | {:>7} | {:>3} |\n",
      "figure",
      "measured",
      "at most",
      "met");
  fmt::print("|{:-<63}|{:->9}:|{:->8}:|{:->4}:|\n", "", "", "", "");
  for (const auto& runs : all) {
    const Quartiles random(runs.strategies[0].runs);
    const Quartiles evolution(runs.strategies[1].runs);
    if (random.median.size() >= kBarEvaluations) {
      print_bar(
          fmt::format(
              "{}, regret at {}, evolution / random",
              runs.table->name(),
              kBarEvaluations),
          evolution.median[kBarEvaluations - 1] /
              random.median[kBarEvaluations - 1],
          kMostOfRandom);
    }
  }
  if (settings.seeds >= kFull.seeds &&
      settings.predictor_seeds >= kFull.predictor_seeds &&
      settings.evaluations >= kFull.evaluations) {
    print_bar(
        fmt::format(
            "seconds, {} seeds of {} evaluations, all strategies and tables",
            settings.seeds,
            settings.evaluations),
        seconds,
        kMostSeconds);
  }
  fmt::print("\n");
}

}  // namespace

void print_report(
    const std::vector<TableRuns>& all,
    const RegretSettings& settings,
    double seconds) {
  fmt::print(
      "Searches of {} evaluations, {} threads: {:.1f} s\n\n"
      "The median, and in brackets the quartiles, of the regret in percent; "
      "times are\nthe thread's own, of ask, look-up and tell.\n\n",
      settings.evaluations,
      settings.threads,
      seconds);
  for (const auto& runs : all) {
    print_table(runs);
  }
  print_bars(all, settings, seconds);
  for (const auto& kind : strategy_kinds()) {
    if (!kind.note.empty()) {
      fmt::print("{}: {}\n", kind.name, kind.note);
    }
  }
}

}  // namespace bench
