// SPDX-License-Identifier: MIT
// NAS-Bench-Macro: what a net of its space costs, and what its authors say of
// it.
//
//   nas_bench_macro --net 12012201 --budget 50e6
#include "net.hpp"
#include "table.hpp"

#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/search/cost_model.hpp>

#include <c10/util/Exception.h>
#include <torch/types.h>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <cstdint>
#include <exception>
#include <iostream>
#include <optional>
#include <string>

namespace {

namespace gp = gatedpaths;
using nas_bench_macro::Record;

struct Options {
  std::string net = "22222222";
  std::optional<double> budget{};
};

/// 33.6 M, in the benchmark's units.
std::string millions(std::int64_t number) {
  return fmt::format("{:.2f} M", static_cast<double>(number) / 1e6);
}

void print(const char* what, const Record& record, const std::string& rank) {
  fmt::print(
      "{:<14} {}  {:>9} parameters  {:>9} FLOPs  {:.2f} %  {}\n",
      what,
      record.architecture,
      millions(record.parameters),
      millions(record.flops),
      record.accuracy(),
      rank);
}

void run(const Options& options) {
  const nas_bench_macro::Table table(NAS_BENCH_MACRO_TABLE);
  nas_bench_macro::Net net;
  const gp::PathSpace space(net);
  const auto path = nas_bench_macro::path_of(*space.layout(), options.net);
  const auto cost = gp::CostModel::measure(
      net,
      space,
      torch::zeros({1, 3, 32, 32}),
      gp::CostOptions().activations(false));
  const auto counted = cost.of(path);
  const double budget = options.budget.value_or(1e18);
  TORCH_CHECK_VALUE(
      budget > 0 && budget <= 1e18,
      fmt::format("--budget: expected FLOPs above 0, got {}", budget));
  const auto most = static_cast<std::int64_t>(budget);
  const auto& record = table.at(options.net);
  TORCH_CHECK(
      counted.macs == record.flops && counted.parameters == record.parameters,
      fmt::format(
          "expected the published {} FLOPs and {} parameters, counted {} and "
          "{}",
          record.flops,
          record.parameters,
          counted.macs,
          counted.parameters));
  print(
      "this net",
      record,
      record.flops <= most ? fmt::format("rank {}", table.rank(record, most))
                           : "above the budget");
  print(options.budget ? "best in budget" : "best", table.best(most), "rank 1");
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app(
      "What NAS-Bench-Macro's table says of a net, and what it costs.");
  app.add_option("--net", options.net, "its eight digits from 0 to 2")
      ->capture_default_str();
  app.add_option(
      "--budget", options.budget, "FLOPs at most, for the rank and the best");
  CLI11_PARSE(app, argc, argv);
  try {
    run(options);
    return 0;
  } catch (const c10::Error& error) {
    std::cerr << error.what_without_backtrace() << '\n';
  } catch (const std::exception& error) {
    std::cerr << "nas_bench_macro: " << error.what() << '\n';
  }
  return 1;
}
