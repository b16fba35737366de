// SPDX-License-Identifier: MIT
// How well scores that need no training rank the nets of two benchmarks:
// random nets with fresh weights, one batch of CIFAR-10, against the published
// accuracies. FLOPs and parameters stand beside them.
//
//   bench_zero_cost --data DIR
#include "batches.hpp"
#include "data_source.hpp"
#include "flag_checks.hpp"
#include "flags.hpp"
#include "nas_bench_201/architecture.hpp"
#include "nas_bench_201/net.hpp"
#include "nas_bench_201/table.hpp"
#include "nas_bench_macro/net.hpp"
#include "nas_bench_macro/table.hpp"
#include "output.hpp"
#include "program.hpp"

#include <gatedpaths/gatedpaths.hpp>

#include <ATen/Parallel.h>
#include <torch/utils.h>

#include <CLI/CLI.hpp>

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <iosfwd>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace {

namespace gp = gatedpaths;

struct Options {
  cifar10::DataRequest data{};
  std::int64_t nets = 500;
  std::int64_t batch = 32;
  std::uint64_t seed = 0;
  std::int64_t threads = 1;
  bool quick = false;
};

/// A benchmark's nets.
struct Space {
  std::string name;
  /// By the path, in percent.
  std::function<double(const gp::Path& path)> accuracy;
};

struct Metric {
  std::string name;
  gp::PathMetric metric;
};

std::vector<Metric> metrics() {
  return {
      {"gradient norm", gp::gradient_norm_metric()},
      {"SNIP", gp::snip_metric()},
      {"synflow", gp::synflow_metric()},
      {"Jacobian covariance", gp::jacobian_covariance_metric()}};
}

std::string interval(const gp::RankCorrelation& correlation) {
  return fmt::format(
      "{:6.3f} ({:6.3f} to {:6.3f})",
      correlation.value,
      correlation.low,
      correlation.high);
}

void print_row(
    const std::string& name,
    const std::vector<double>& scores,
    const std::vector<double>& accuracies,
    std::uint64_t seed) {
  const auto options = gp::BootstrapOptions().seed(seed);
  cifar10::write_out(
      stdout,
      fmt::format(
          "  {:<20}  {}  {}\n",
          name,
          interval(gp::spearman_rho(scores, accuracies, options)),
          interval(gp::kendall_tau(scores, accuracies, options))));
}

template <class Net>
void print_space(
    const Options& options,
    const Space& benchmark,
    Net& net,
    const cifar10::Batch& batch) {
  const gp::PathSpace space(net);
  const auto paths = gp::RandomSearch(space, options.seed).ask(options.nets);
  std::vector<double> accuracies;
  for (const auto& path : paths) {
    accuracies.push_back(benchmark.accuracy(path));
  }
  cifar10::write_out(
      stdout,
      fmt::format(
          "{}, {} random nets, {} images\n  {:<20}  {:<26}  {}\n",
          benchmark.name,
          paths.size(),
          batch.labels.size(0),
          "",
          "Spearman's rho",
          "Kendall's tau"));
  const std::vector<gp::EvaluationBatch> batches = {
      {batch.images, batch.labels}};
  for (const auto& [name, metric] : metrics()) {
    std::vector<double> scores;
    for (const auto& result : gp::evaluate(
             net,
             space,
             paths,
             batches,
             metric,
             gp::EvaluateOptions().non_finite(gp::NonFinite::kRecord))) {
      scores.push_back(result.values[0]);
    }
    // A net that does not use its input has no Jacobian: the worst there is.
    for (auto& score : scores) {
      score =
          std::isnan(score) ? -std::numeric_limits<double>::infinity() : score;
    }
    print_row(name, scores, accuracies, options.seed);
  }
  const auto cost = gp::CostModel::measure(
      net,
      space,
      batch.images.narrow(0, 0, 1),
      gp::CostOptions().activations(false));
  for (const auto& [name, kind] :
       {std::pair{"FLOPs", gp::CostKind::kMacs},
        std::pair{"parameters", gp::CostKind::kParameters}}) {
    std::vector<double> costs;
    for (const auto& path : paths) {
      costs.push_back(cost.of(path).of(kind));
    }
    print_row(name, costs, accuracies, options.seed);
  }
}

void run_macro(const Options& options, const cifar10::Batch& batch) {
  const nas_bench_macro::Table table(NAS_BENCH_MACRO_TABLE);
  torch::manual_seed(options.seed);
  nas_bench_macro::Net net(
      nas_bench_macro::NetOptions{.width = options.quick ? 0.125 : 1});
  print_space(
      options,
      {"NAS-Bench-Macro",
       [&](const gp::Path& path) {
         return table.at(nas_bench_macro::architecture(path)).accuracy();
       }},
      net,
      batch);
}

void run_201(const Options& options, const cifar10::Batch& batch) {
  const nas_bench_201::Table table(NAS_BENCH_201_TABLE);
  torch::manual_seed(options.seed);
  nas_bench_201::NetOptions net_options;
  if (options.quick) {
    net_options.channels = 4;
    net_options.cells = 1;
  }
  nas_bench_201::Net net(net_options);
  print_space(
      options,
      {"NAS-Bench-201, CIFAR-10 test after 12 epochs",
       [&](const gp::Path& path) {
         return table.at(nas_bench_201::architecture(path))
             .accuracy(nas_bench_201::Images::kCifar10Test);
       }},
      net,
      batch);
}

std::optional<int> parse(
    const std::vector<std::string>& arguments,
    Options& options,
    std::ostream& out,
    std::ostream& err) {
  CLI::App app(
      "How well scores that need no training rank the nets of NAS-Bench-Macro\n"
      "and NAS-Bench-201.",
      "bench_zero_cost");
  app.formatter(cifar10::help_formatter());
  cifar10::add_data_flags(app, options.data);
  const auto add = [&](const char* name,
                       auto& value,
                       std::uint64_t least,
                       const char* description) {
    app.add_option(name, value, description)
        ->type_name("N")
        ->transform(cifar10::checked(cifar10::whole_number(least, 1'000'000)))
        ->capture_default_str();
  };
  add("--nets", options.nets, 2, "Random nets of each space");
  add("--batch", options.batch, 2, "Images that they are scored on");
  add("--seed", options.seed, 0, "Of the nets and their weights");
  add("--threads", options.threads, 1, "Threads of LibTorch");
  app.add_flag(
      "--quick", options.quick, "Small nets, a few of them: only to run it");
  return cifar10::parse_flags(app, arguments, [] {}, out, err);
}

int run(const Options& given, const std::string& /*command*/) {
  auto options = given;
  if (options.quick) {
    options.nets = 4;
    options.batch = 3;
    options.data.limit = 10;
  }
  at::set_num_threads(static_cast<int>(options.threads));
  const auto data = cifar10::load_data(options.data);
  if (data.is_stand_in) {
    cifar10::write_out(
        stdout, "No CIFAR-10 here: these figures mean nothing.\n");
  }
  const auto batch = cifar10::make_batch(data.train, 0, options.batch);
  run_macro(options, batch);
  run_201(options, batch);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return cifar10::run_program<Options>({argv, argv + argc}, parse, run);
}
