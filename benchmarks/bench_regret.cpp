// SPDX-License-Identifier: MIT
// How close the strategies come to the best net of two tables of which all nets
// were trained, against the number of evaluations.
//
//   bench_regret --json regret.json --svg regret.svg
#include "regret/curves.hpp"
#include "regret/files.hpp"
#include "regret/report.hpp"
#include "regret/tabular.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <vector>

namespace {

struct Options {
  bench::RegretSettings settings;
  std::filesystem::path json;
  std::filesystem::path svg;
};

void run(const Options& options) {
  const std::vector<bench::Tabular> tables = {
      bench::nas_bench_macro_tabular(NAS_BENCH_MACRO_TABLE),
      bench::nas_bench_201_tabular(NAS_BENCH_201_TABLE)};
  const auto begin = std::chrono::steady_clock::now();
  const auto all = bench::run_searches(tables, options.settings);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
          .count();
  bench::print_report(all, options.settings, seconds);
  if (!options.json.empty()) {
    bench::write_regret_json(all, options.settings, seconds, options.json);
  }
  if (!options.svg.empty()) {
    bench::write_regret_pictures(all, options.svg);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  bool quick = false;
  CLI::App app("Regret of the search strategies on NAS-Bench-Macro and -201.");
  auto& settings = options.settings;
  app.add_option("--seeds", settings.seeds, "searches of each strategy")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  auto* predictor_seeds =
      app.add_option(
             "--predictor-seeds",
             settings.predictor_seeds,
             "searches of PredictorSearch; as --seeds unless given")
          ->check(CLI::Range(1, 100'000));
  app.add_option("--evaluations", settings.evaluations, "of each search")
      ->check(CLI::Range(1, 1500))
      ->capture_default_str();
  app.add_option("--threads", settings.threads, "that share the searches")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--json", options.json, "file for all curves");
  app.add_option("--svg", options.svg, "pictures, one for each table");
  app.add_flag("--quick", quick, "2 seeds of 40 evaluations");
  CLI11_PARSE(app, argc, argv);
  if (quick) {
    settings.seeds = 2;
    settings.evaluations = 40;
  }
  if (predictor_seeds->empty()) {
    settings.predictor_seeds = settings.seeds;
  }
  try {
    run(options);
  } catch (const c10::Error& error) {
    fmt::print(stderr, "{}: {}\n", argv[0], error.what_without_backtrace());
    return 1;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}: {}\n", argv[0], error.what());
    return 1;
  }
  return 0;
}
