// SPDX-License-Identifier: MIT
#include "latency.hpp"

#include <algorithm>
#include <cmath>

namespace gatedpaths::detail {
namespace {

double middle(std::vector<double>& samples) {
  const auto half = static_cast<std::ptrdiff_t>(samples.size() / 2);
  std::nth_element(samples.begin(), samples.begin() + half, samples.end());
  const double upper = samples[static_cast<size_t>(half)];
  if (samples.size() % 2 == 1) {
    return upper;
  }
  return (upper + *std::max_element(samples.begin(), samples.begin() + half)) /
         2;
}

// All runs, with what each part of one took. The first ones are thrown away.
template <class Visit>
void repeat(PathMeter& meter, const std::vector<Path>& paths, Visit visit) {
  const PathMeter::Session session(meter, /*times=*/true);
  const int64_t warm_up = meter.options().warm_up();
  const int64_t rounds = warm_up + meter.options().latency_repetitions();
  for (int64_t round = 0; round < rounds; ++round) {
    for (const Path& path : paths) {
      const PartTimes times = meter.time(session, path);
      if (round >= warm_up) {
        visit(times);
      }
    }
  }
}

}  // namespace

MeasuredTime median_of(std::vector<double> samples) {
  if (samples.empty()) {
    return {};
  }
  MeasuredTime time;
  time.median = middle(samples);
  for (double& sample : samples) {
    sample = std::abs(sample - time.median);
  }
  time.spread = middle(samples);
  return time;
}

std::map<GatePlace, MeasuredTime> measure_times(
    PathMeter& meter, const std::vector<Path>& paths) {
  std::map<GatePlace, std::vector<double>> samples;
  repeat(meter, paths, [&](const PartTimes& times) {
    for (const auto& [place, seconds] : times) {
      samples[place].push_back(seconds);
    }
  });
  std::map<GatePlace, MeasuredTime> measured;
  for (auto& [place, of_place] : samples) {
    measured[place] = median_of(std::move(of_place));
  }
  return measured;
}

MeasuredTime measure_time(PathMeter& meter, const Path& path) {
  std::vector<double> samples;
  repeat(meter, {path}, [&](const PartTimes& times) {
    double total = 0;
    for (const auto& [place, seconds] : times) {
      total += seconds;
    }
    samples.push_back(total);
  });
  return median_of(std::move(samples));
}

}  // namespace gatedpaths::detail
