// SPDX-License-Identifier: MIT
#include "agreement.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <numeric>

namespace nas_bench_macro {
namespace {

namespace gp = gatedpaths;

constexpr std::size_t kBestPart = 10;

using Values = std::vector<double>;

Values picked(const Values& values, const std::vector<std::size_t>& places) {
  Values result;
  for (const auto place : places) {
    result.push_back(values[place]);
  }
  return result;
}

/// Where the best tenth stands.
std::vector<std::size_t> best_places(const Values& values) {
  std::vector<std::size_t> places(values.size());
  std::iota(places.begin(), places.end(), 0U);
  std::stable_sort(places.begin(), places.end(), [&](auto a, auto b) {
    return values[a] > values[b];
  });
  places.resize(values.size() / kBestPart);
  return places;
}

std::string interval(const gp::RankCorrelation& correlation) {
  return fmt::format(
      "{:6.3f} ({:.3f} to {:.3f})",
      correlation.value,
      correlation.low,
      correlation.high);
}

}  // namespace

std::vector<Agreement> agreements(
    const Table& table, const Scores& scores, std::uint64_t seed) {
  TORCH_CHECK_VALUE(
      scores.size() >= kLeastNets,
      fmt::format(
          "expected the scores of at least {} nets, got {}",
          kLeastNets,
          scores.size()));
  std::vector<const Record*> records;
  Values loss;
  Values accuracy;
  for (const auto& [net, score] : scores) {
    records.push_back(&table.at(net));
    loss.push_back(-score.loss);
    accuracy.push_back(score.accuracy);
  }
  const auto of_records = [&](const auto& value) {
    Values values;
    for (const auto* record : records) {
      values.push_back(static_cast<double>(value(*record)));
    }
    return values;
  };
  const auto published = of_records(std::mem_fn(&Record::accuracy));
  const auto best = best_places(published);
  const auto options = gp::BootstrapOptions().seed(seed);
  const auto agreement =
      [&](const char* what, const Values& values, const Values& reference) {
        return Agreement{
            .what = what,
            .tau = gp::kendall_tau(values, reference, options),
            .rho = gp::spearman_rho(values, reference, options),
            .tau_best = gp::kendall_tau(
                picked(values, best), picked(reference, best), options)};
      };
  return {
      agreement("supernet, loss", loss, published),
      agreement("supernet, accuracy", accuracy, published),
      agreement("FLOPs", of_records(std::mem_fn(&Record::flops)), published),
      agreement(
          "parameters",
          of_records(std::mem_fn(&Record::parameters)),
          published),
      agreement(
          "one training of the table by another",
          of_records([](const Record& record) { return record.accuracies[0]; }),
          of_records(
              [](const Record& record) { return record.accuracies[1]; }))};
}

std::string agreement_table(
    const std::vector<Agreement>& agreements, std::size_t nets) {
  auto text = fmt::format(
      "{:<36}  {:<24}  {:<24}  {}\n",
      fmt::format("{} nets ranked by", nets),
      "Kendall's tau",
      "Spearman's rho",
      "tau, best tenth");
  for (const auto& agreement : agreements) {
    text += fmt::format(
        "{:<36}  {}  {}  {}\n",
        agreement.what,
        interval(agreement.tau),
        interval(agreement.rho),
        interval(agreement.tau_best));
  }
  return text + "(in parentheses: 95 % of bootstrap samples of the nets)\n";
}

}  // namespace nas_bench_macro
