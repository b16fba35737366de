// SPDX-License-Identifier: MIT
// Times from repeated runs. Not installed.
#pragma once

#include "path_meter.hpp"

#include <map>
#include <vector>

namespace gatedpaths::detail {

/// The median of some measurements, and the distance from it that half of them
/// keep.
struct MeasuredTime {
  double median = 0;
  double spread = 0;
};

MeasuredTime median_of(std::vector<double> samples);

/// The time of each part of the paths. The paths take turns, so that what
/// slows the machine for a while slows all of them.
std::map<GatePlace, MeasuredTime> measure_times(
    PathMeter& meter, const std::vector<Path>& paths);

/// The time of a whole path.
MeasuredTime measure_time(PathMeter& meter, const Path& path);

}  // namespace gatedpaths::detail
