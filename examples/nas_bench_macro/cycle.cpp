// SPDX-License-Identifier: MIT
#include "cycle.hpp"

#include "found_net.hpp"
#include "interrupt.hpp"
#include "metrics.hpp"
#include "path_search.hpp"
#include "ranking_report.hpp"
#include "run_folder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <utility>

namespace nas_bench_macro {
namespace {

namespace fs = std::filesystem;
namespace gp = gatedpaths;

using Clock = std::chrono::steady_clock;

constexpr double kSecondsBetweenSaves = 60;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

Cycle::Cycle(const Options& options, SearchImages images)
    : options_(options),
      table_(NAS_BENCH_MACRO_TABLE),
      cost_(published_cost()),
      progress_(stdout),
      supernet_(options_, std::move(images)),
      ranking_(options_, supernet_, progress_) {}

std::vector<std::string> Cycle::notes() const {
  const auto& images = supernet_.images();
  const auto& scale = options_.scale;
  return {
      fmt::format(
          "images: {}, {} x {} pixels, {} to train on, {} to rank paths",
          images.is_stand_in ? "made ones" : "CIFAR-10",
          scale.side,
          scale.side,
          images.train.size(),
          images.held_out.size()),
      fmt::format(
          "supernet: width {}, {}, {} steps of {} images ({} epochs), {}",
          scale.width,
          options_.estimator.empty() ? options_.sampler + " paths"
                                     : "paths learned by " + options_.estimator,
          supernet_.total_steps(),
          options_.batch_size,
          scale.epochs,
          fmt::format("seed {}", options_.seed)),
      scale.recalibration > 0
          ? fmt::format(
                "batch norm: measured for each path on {} images",
                scale.recalibration)
          : std::string("batch norm: as all paths together left it")};
}

void Cycle::announce() {
  for (const auto& note : notes()) {
    progress_.line(note);
  }
}

bool Cycle::train() {
  const auto file = supernet_file(options_.out);
  const bool is_resumed = fs::exists(file) && !options_.overwrite;
  if (!is_resumed) {
    clear_run_folder(options_.out, options_.overwrite);
  } else {
    supernet_.resume(file);
    progress_.line(fmt::format(
        "Resumed from {} at step {} of {}.",
        file.string(),
        supernet_.steps_done(),
        supernet_.total_steps()));
  }
  const auto steps_per_epoch = supernet_.steps_per_epoch();
  const auto metrics_file = options_.out / "training.jsonl";
  auto metrics =
      is_resumed ? cifar10::Metrics(
                       metrics_file, supernet_.steps_done() / steps_per_epoch)
                 : cifar10::Metrics(metrics_file);
  metrics.write(
      {{"event", "start"},
       {"step", supernet_.steps_done()},
       {"settings", supernet_.settings()},
       {"threads", options_.threads}});
  auto saved = Clock::now();
  progress_.pause();
  while (!supernet_.finished() && cifar10::interrupted() == 0) {
    supernet_.step();
    const auto step = supernet_.steps_done();
    const auto epoch = step / steps_per_epoch;
    if (step % steps_per_epoch == 0) {
      metrics.write(
          {{"event", "epoch"},
           {"epoch", epoch},
           {"loss", supernet_.loss()},
           {"seconds", supernet_.seconds()}});
    }
    if (seconds_since(saved) > kSecondsBetweenSaves) {
      supernet_.save(file);
      saved = Clock::now();
    }
    progress_.step([&] {
      return cifar10::ProgressState{
          .epoch = epoch + 1,
          .epochs = options_.scale.epochs,
          .step = step % steps_per_epoch,
          .steps = steps_per_epoch,
          .steps_left = supernet_.total_steps() - step,
          .loss = supernet_.loss()};
    });
  }
  supernet_.save(file);
  if (!supernet_.finished()) {
    progress_.line(fmt::format(
        "Stopped at step {} of {}.",
        supernet_.steps_done(),
        supernet_.total_steps()));
    return false;
  }
  progress_.line(fmt::format(
      "Trained: loss {:.3f}, {} steps in {:.0f} s.",
      supernet_.loss(),
      supernet_.steps_done(),
      supernet_.seconds()));
  if (const auto learned = supernet_.learned()) {
    progress_.line(fmt::format(
        "The likeliest path, as learned: {}.", architecture(*learned)));
  }
  return true;
}

bool Cycle::rank() {
  const auto start = Clock::now();
  const auto paths = ranking_.paths();
  if (!ranking_.score(paths)) {
    progress_.line("Stopped while the paths were ranked.");
    return false;
  }
  write_scores(options_.out / "ranking.txt", notes(), ranking_.scores());
  progress_.line(fmt::format(
      "Ranked: {} paths in {:.0f} s.", paths.size(), seconds_since(start)));
  return true;
}

bool Cycle::find() {
  const auto history = search(
      options_,
      cost_,
      {.score = [this](const auto& paths) { return ranking_.score(paths); },
       .scores = ranking_.scores()},
      history_file(options_));
  if (!history) {
    progress_.line("Stopped during the search.");
    return false;
  }
  const auto found = found_in(options_, *history);
  const auto accuracy = derive_found_net(
      options_, supernet_, ranking_, path_of(*cost_.layout(), found));
  progress_.line(fmt::format(
      "Found: {} of {} paths that were looked at; derived: {:.1f} % of {} test "
      "images with the supernet's weights.",
      found,
      std::min(
          history->records().size(),
          static_cast<std::size_t>(options_.evaluations)),
      100 * accuracy,
      supernet_.images().test.size()));
  progress_.line(report(options_, table_, notes(), ranking_.scores(), found));
  return true;
}

int Cycle::stop(const std::string& command) {
  progress_.line("Go on with:\n  " + command);
  return 128 + cifar10::interrupted();
}

int Cycle::run(const std::string& command) {
  make_strategy(options_, cost_);  // before hours for a budget that none keeps
  announce();
  if (!train() || !rank() || !find()) {
    return stop(command);
  }
  return 0;
}

}  // namespace nas_bench_macro
