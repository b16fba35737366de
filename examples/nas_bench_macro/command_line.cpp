// SPDX-License-Identifier: MIT
#include "command_line.hpp"

#include "agreement.hpp"
#include "flag_checks.hpp"
#include "flags.hpp"
#include "path_search.hpp"
#include "path_sources.hpp"

#include <CLI/CLI.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <limits>

namespace nas_bench_macro {
namespace {

using cifar10::checked;
using cifar10::number;
using cifar10::whole_number;

constexpr std::uint64_t kMost = 1000000;  // products of them fit in 64 bits
constexpr std::uint64_t kMostThreads = 1024;
constexpr double kMostFlops = 1e18;

cifar10::Check one_of(const std::vector<std::string>& names) {
  return [names](const std::string& text) -> std::string {
    return std::find(names.begin(), names.end(), text) != names.end()
               ? ""
               : fmt::format(
                     "expected one of {}, got '{}'",
                     fmt::join(names, ", "),
                     text);
  };
}

template <class Value>
CLI::Option* add(
    CLI::App& app,
    const char* group,
    const char* name,
    Value& value,
    const char* type,
    const cifar10::Check& check,
    const std::string& description) {
  return app.add_option(name, value, description)
      ->type_name(type)
      ->group(group)
      ->transform(checked(check))
      ->capture_default_str();
}

cifar10::Check above_zero() {
  return number("above 0", [](double x) { return x > 0; });
}

void add_scale_flags(CLI::App& app, Scale& scale) {
  constexpr auto kGroup = "Scale";
  add(app,
      kGroup,
      "--width",
      scale.width,
      "X",
      above_zero(),
      "Of the supernet's channels, against the published\n"
      "nets'");
  add(app,
      kGroup,
      "--side",
      scale.side,
      "N",
      one_of({"8", "16", "32"}),
      "Of the images, which are 32 pixels wide and high:\n"
      "means of squares are taken");
  add(app,
      kGroup,
      "--epochs",
      scale.epochs,
      "N",
      whole_number(1, kMost),
      "Passes over the images to train on");
  add(app,
      kGroup,
      "--held-out",
      scale.held_out,
      "N",
      whole_number(1, kMost),
      "Training images that are kept from the training\n"
      "and rank the paths");
  add(app,
      kGroup,
      "--recalibrate",
      scale.recalibration,
      "N",
      whole_number(0, kMost),
      "Training images that measure batch norm's\n"
      "statistics anew for each path; 0: each has those\n"
      "of all paths together");
}

void add_training_flags(CLI::App& app, Options& options) {
  constexpr auto kGroup = "Supernet";
  add(app,
      kGroup,
      "--sampler",
      options.sampler,
      "NAME",
      one_of(sampler_names()),
      fmt::format(
          "What draws the path of a step: {}",
          fmt::join(sampler_names(), ", ")));
  app.add_option(
         "--estimator",
         options.estimator,
         fmt::format(
             "Learn which paths are good instead, on a tenth\n"
             "of the images: {}",
             fmt::join(estimator_names(), ", ")))
      ->type_name("NAME")
      ->group(kGroup)
      ->transform(checked(one_of(estimator_names())));
  add(app,
      kGroup,
      "--batch-size",
      options.batch_size,
      "N",
      whole_number(2, kMost),
      "Images in a step, which trains one path");
  add(app,
      kGroup,
      "--lr",
      options.lr,
      "X",
      above_zero(),
      "Learning rate of SGD at the start; it falls by a\n"
      "cosine to 0");
  add(app,
      kGroup,
      "--momentum",
      options.momentum,
      "X",
      number("from 0 to below 1", [](double x) { return x >= 0 && x < 1; }),
      "Nesterov's");
  add(app,
      kGroup,
      "--weight-decay",
      options.weight_decay,
      "X",
      number("of at least 0", [](double x) { return x >= 0; }),
      "Weight decay of SGD");
  app.add_option_function<std::string>(
         "--augment",
         [&options](const std::string& text) {
           options.augment = text == "yes";
         },
         "Mirror and move the images that the supernet is\n"
         "trained on")
      ->type_name("yes|no")
      ->group(kGroup)
      ->transform(checked(cifar10::either("yes", "no")))
      ->default_str("no");
  add(app,
      kGroup,
      "--seed",
      options.seed,
      "N",
      whole_number(0, std::numeric_limits<std::uint64_t>::max()),
      "Of the first weights, the order of the images,\n"
      "the paths, and the search");
}

void add_search_flags(CLI::App& app, Options& options) {
  constexpr auto kGroup = "Search";
  add(
      app,
      kGroup,
      "--rank",
      options.rank,
      "N",
      [](std::string& text) {
        return text == "0" ? "" : whole_number(kLeastNets, kMost)(text);
      },
      "Random paths to rank, 20 at least; 0: all 6,561");
  add(app,
      kGroup,
      "--budget",
      options.budget,
      "FLOPS",
      number(
          fmt::format("above 0 and of at most {}", kMostFlops),
          [](double x) { return x > 0 && x <= kMostFlops; }),
      "What the net that is looked for may cost, as\n"
      "published: at full width, on 32 x 32 pixels");
  add(app,
      kGroup,
      "--strategy",
      options.strategy,
      "NAME",
      one_of(strategy_names()),
      fmt::format("What looks for it: {}", fmt::join(strategy_names(), ", ")));
  add(app,
      kGroup,
      "--score",
      options.score,
      "NAME",
      one_of({"loss", "accuracy"}),
      "What says how good a path is, on the images held\n"
      "out: loss or accuracy");
  add(app,
      kGroup,
      "--evaluations",
      options.evaluations,
      "N",
      whole_number(1, kMost),
      "Paths that it may look at");
}

void add_run_flags(CLI::App& app, Options& options) {
  constexpr auto kGroup = "Run";
  app.add_flag(
         "--full",
         options.full,
         fmt::format("{} epochs: an hour more", kFullScale.epochs))
      ->group(kGroup);
  auto* out =
      add(app,
          kGroup,
          "--out",
          options.out,
          "DIR",
          cifar10::not_empty("the name of a folder"),
          "What the stages leave goes here; the same command\n"
          "goes on with a run that was stopped");
  app.add_flag(
         "--overwrite",
         options.overwrite,
         "Start anew where another run's files are, and\n"
         "replace them")
      ->group(kGroup);
  add(app,
      kGroup,
      "--threads",
      options.threads,
      "N",
      whole_number(1, kMostThreads),
      "Threads of LibTorch; with 1, runs repeat bit for\n"
      "bit");
  add(app,
      kGroup,
      "--device",
      options.device,
      "DEVICE",
      cifar10::check_device,
      "cpu, cuda or cuda:<index>");
  auto* ranking = app.add_option(
      "--ranking",
      options.ranking,
      "No run: report on the ranking.txt of an earlier\n"
      "one, in --out");
  ranking->type_name("FILE")->group(kGroup)->transform(
      checked(cifar10::not_empty("the name of a file")));
  app.add_option(
         "--net",
         options.net,
         "No run: what the table says of the net with these\n"
         "eight digits from 0 to 2, and what it costs")
      ->type_name("DIGITS")
      ->group(kGroup)
      ->excludes(ranking)
      ->excludes(out);
}

}  // namespace

std::optional<int> parse_command_line(
    const std::vector<std::string>& arguments,
    Options& options,
    std::ostream& out,
    std::ostream& err) {
  CLI::App app(
      "From a supernet to a finished net, scored by NAS-Bench-Macro: trains "
      "the\n"
      "supernet of the benchmark's 6,561 nets on CIFAR-10, ranks them by it,\n"
      "looks for the best within a budget, derives that, and says what the\n"
      "benchmark's table has on it and on the whole ranking.",
      "nas_bench_macro");
  app.formatter(cifar10::help_formatter());
  cifar10::add_data_flags(app, options.data);
  add_scale_flags(app, options.scale);
  add_training_flags(app, options);
  add_search_flags(app, options);
  add_run_flags(app, options);
  const auto status = cifar10::parse_flags(app, arguments, [] {}, out, err);
  for (const auto* option : app.get_options()) {
    if (option->count() > 0) {
      options.given.insert(option->get_name());
    }
  }
  return status;
}

void set_scale(Options& options, const Scale& scale) {
  const auto take = [&](const char* flag, auto& value, const auto& preset) {
    if (!options.given.contains(flag)) {
      value = preset;
    }
  };
  take("--width", options.scale.width, scale.width);
  take("--side", options.scale.side, scale.side);
  take("--epochs", options.scale.epochs, scale.epochs);
  take("--held-out", options.scale.held_out, scale.held_out);
  take("--recalibrate", options.scale.recalibration, scale.recalibration);
}

}  // namespace nas_bench_macro
