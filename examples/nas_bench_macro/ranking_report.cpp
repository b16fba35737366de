// SPDX-License-Identifier: MIT
#include "ranking_report.hpp"

#include "agreement.hpp"
#include "json.hpp"
#include "net_report.hpp"
#include "output.hpp"
#include "path_search.hpp"
#include "ranking_pictures.hpp"

#include <gatedpaths/exchange/checkpoint.hpp>

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>

namespace nas_bench_macro {
namespace {

using cifar10::Json;

void write_text(const std::filesystem::path& file, const std::string& text) {
  gatedpaths::save_atomically(file, [&](const gatedpaths::ByteSink& sink) {
    sink(text.data(), text.size());
  });
}

std::int64_t most_flops(const Options& options) {
  return static_cast<std::int64_t>(options.budget);
}

Json json_of(const gatedpaths::RankCorrelation& correlation) {
  return {
      {"value", correlation.value},
      {"low", correlation.low},
      {"high", correlation.high}};
}

Json json_of(
    const Table& table, const Record& record, std::int64_t most_flops) {
  return {
      {"architecture", record.architecture},
      {"accuracy", record.accuracy()},
      {"parameters", record.parameters},
      {"flops", record.flops},
      {"rank", table.rank(record, most_flops)}};
}

/// The net of the best score within the budget.
const Record& best_ranked(
    const Options& options, const Table& table, const Scores& scores) {
  const Record* best = nullptr;
  double best_value = 0;
  for (const auto& [net, score] : scores) {
    const auto& record = table.at(net);
    const auto value = options.score == "loss" ? -score.loss : score.accuracy;
    if (record.flops <= most_flops(options) &&
        (best == nullptr || value > best_value)) {
      best = &record;
      best_value = value;
    }
  }
  TORCH_CHECK_VALUE(
      best != nullptr,
      fmt::format(
          "--budget: expected FLOPs that one of the ranked nets keeps, got {}",
          options.budget));
  return *best;
}

}  // namespace

std::string report(
    const Options& options,
    const Table& table,
    const std::vector<std::string>& notes,
    const Scores& scores,
    const std::string& found) {
  const auto most = most_flops(options);
  const auto& found_record = table.at(found);
  const auto& ranked = best_ranked(options, table, scores);
  const auto& best = table.best(most);
  const auto regret = best.accuracy() - found_record.accuracy();
  const auto agreed = agreements(table, scores, options.seed);

  Json json{
      {"notes", notes},
      {"budget", options.budget},
      {"strategy", options.strategy},
      {"score", options.score},
      {"found", json_of(table, found_record, most)},
      {"first of the ranking", json_of(table, ranked, most)},
      {"best", json_of(table, best, most)},
      {"regret", regret},
      {"nets", scores.size()}};
  for (const auto& agreement : agreed) {
    json["rankings"].push_back(
        {{"by", agreement.what},
         {"tau", json_of(agreement.tau)},
         {"rho", json_of(agreement.rho)},
         {"tau of the best tenth", json_of(agreement.tau_best)}});
  }
  write_text(options.out / "report.json", json.dump(2) + '\n');
  write_text(
      options.out / "supernet_against_table.svg",
      supernet_against_table_svg(options, table, scores));
  write_text(
      options.out / "accuracy_against_flops.svg",
      accuracy_against_flops_svg(options, table, scores, found));

  return fmt::format(
      "\n{}\nWithin {} FLOPs, by the table:\n{}{}{}"
      "Regret: {:.2f} points.\nReport and pictures: {}",
      agreement_table(agreed, scores.size()),
      options.budget,
      &found_record == &ranked ? ""
                               : net_line("found", table, found_record, most),
      net_line(
          &found_record == &ranked ? "found, 1st ranked" : "1st ranked",
          table,
          ranked,
          most),
      net_line("best", table, best, most),
      regret,
      (options.out / "report.json").string());
}

void report_ranking(const Options& options) {
  const Table table(NAS_BENCH_MACRO_TABLE);
  std::vector<std::string> notes;
  const auto scores = read_scores(options.ranking, notes);
  std::string text;
  for (const auto& note : notes) {
    text += note + '\n';
  }
  const auto history =
      search(options, published_cost(), {.scores = scores}, std::nullopt);
  const auto found = found_in(options, *history);
  text += report(options, table, notes, scores, found) + '\n';
  cifar10::write_out(stdout, text);
}

}  // namespace nas_bench_macro
