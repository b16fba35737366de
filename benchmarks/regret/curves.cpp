// SPDX-License-Identifier: MIT
#include "regret/curves.hpp"

#include <ATen/Parallel.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <ctime>
#include <exception>
#include <iterator>
#include <limits>
#include <mutex>
#include <thread>

namespace bench {
namespace {

// The thread's own time, where there is one: searches run beside each other.
double thread_seconds() {
#ifdef CLOCK_THREAD_CPUTIME_ID
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) +
         static_cast<double>(time.tv_nsec) * 1e-9;
#else
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
#endif
}

/// By their numbers.
struct Job {
  std::size_t table = 0;
  std::size_t strategy = 0;
  std::size_t place = 0;
};

double quantile(const std::vector<double>& sorted, double part) {
  const double place = part * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(std::floor(place));
  const auto above = std::min(below + 1, sorted.size() - 1);
  return std::lerp(
      sorted[below], sorted[above], place - static_cast<double>(below));
}

}  // namespace

SearchRun run_search(
    const Tabular& table,
    const StrategyKind& kind,
    std::uint64_t seed,
    std::int64_t evaluations) {
  SearchRun run;
  const double begin = thread_seconds();
  const auto search = kind.start(table.layout(), seed);
  double best = -std::numeric_limits<double>::infinity();
  double regret = std::numeric_limits<double>::infinity();
  std::int64_t spent = 0;
  const auto ends = [&] {  // of the next evaluation
    return (std::ssize(run.regrets) + 1) * search.full_length;
  };
  while (std::ssize(run.regrets) < evaluations) {
    const auto paths = search.strategy->ask();
    TORCH_CHECK(
        !paths.empty(),
        "run_search: expected ",
        kind.name,
        " to ask for ",
        evaluations,
        " evaluations of ",
        table.name());
    const auto& path = paths.front();
    spent += search.length(path);
    if (spent > ends()) {  // what this one tells comes too late
      run.regrets.push_back(regret);
    }
    const auto& values = table.at(path);
    search.strategy->tell(path, {values.told});
    ++run.trials;
    if (values.told > best) {
      best = values.told;
      regret = table.optimum() - values.reported;
    }
    if (spent == ends()) {
      run.regrets.push_back(regret);
    }
  }
  run.seconds = thread_seconds() - begin;
  return run;
}

double StrategyRuns::seconds_per_trial() const {
  double seconds = 0;
  std::int64_t trials = 0;
  for (const auto& run : runs) {
    seconds += run.seconds;
    trials += run.trials;
  }
  return seconds / static_cast<double>(trials);
}

std::vector<TableRuns> run_searches(
    const std::vector<Tabular>& tables, const RegretSettings& settings) {
  const auto& kinds = strategy_kinds();
  std::vector<TableRuns> all;
  std::vector<Job> jobs;
  for (const auto& table : tables) {
    auto& [_, strategies] = all.emplace_back(TableRuns{.table = &table});
    for (const auto& kind : kinds) {
      const auto seeds = kind.name == "PredictorSearch"
                             ? settings.predictor_seeds
                             : settings.seeds;
      const auto strategy = strategies.size();
      auto& runs =
          strategies
              .emplace_back(StrategyRuns{
                  &kind,
                  std::vector<SearchRun>(static_cast<std::size_t>(seeds))})
              .runs;
      for (std::size_t place = 0; place < runs.size(); ++place) {
        jobs.push_back({all.size() - 1, strategy, place});
      }
    }
  }
  std::atomic<std::size_t> next = 0;
  std::exception_ptr error;
  std::mutex error_mutex;
  const auto work = [&] {
    at::set_num_threads(1);
    try {
      for (auto i = next++; i < jobs.size(); i = next++) {
        const auto& [number, strategy, place] = jobs[i];
        auto& [table, strategies] = all[number];
        auto& [kind, runs] = strategies[strategy];
        runs[place] =
            run_search(*table, *kind, place + 1, settings.evaluations);
      }
    } catch (...) {
      const std::lock_guard lock(error_mutex);
      error = std::current_exception();
      next = jobs.size();
    }
  };
  std::vector<std::thread> threads;
  for (std::int64_t i = 0; i < settings.threads; ++i) {
    threads.emplace_back(work);
  }
  for (auto& thread : threads) {
    thread.join();
  }
  if (error) {
    std::rethrow_exception(error);
  }
  return all;
}

Quartiles::Quartiles(const std::vector<SearchRun>& runs) {
  for (std::size_t i = 0; i < runs.front().regrets.size(); ++i) {
    std::vector<double> sorted;
    for (const auto& run : runs) {
      sorted.push_back(run.regrets[i]);
    }
    std::sort(sorted.begin(), sorted.end());
    low.push_back(quantile(sorted, 0.25));
    median.push_back(quantile(sorted, 0.5));
    high.push_back(quantile(sorted, 0.75));
  }
}

}  // namespace bench
