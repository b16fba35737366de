// SPDX-License-Identifier: MIT
// What a run of the program has left.
#pragma once

#include "metrics.hpp"
#include "support/catch.hpp"
#include "support/files.hpp"

#include <torch/serialize/archive.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace cifar10 {

/// Every tensor in a checkpoint, by name.
inline std::map<std::string, torch::Tensor> read_tensors(
    torch::serialize::InputArchive& archive, const std::string& prefix = "") {
  std::map<std::string, torch::Tensor> tensors;
  for (const auto& key : archive.keys()) {
    torch::serialize::InputArchive nested;
    torch::Tensor tensor;
    if (archive.try_read(key, tensor)) {
      tensors[prefix + key] = tensor;
    } else if (archive.try_read(key, nested)) {
      tensors.merge(read_tensors(nested, prefix + key + "/"));
    }
  }
  return tensors;
}

/// `weights` is their number: 14 are those of two paths.
inline void check_same_tensors(
    const gatedpaths::test::fs::path& a,
    const gatedpaths::test::fs::path& b,
    std::size_t weights = 14) {
  torch::serialize::InputArchive left_archive;
  left_archive.load_from(a.string());
  torch::serialize::InputArchive right_archive;
  right_archive.load_from(b.string());
  const auto left = read_tensors(left_archive);
  const auto right = read_tensors(right_archive);
  // With the momentum of each.
  REQUIRE(left.size() == 2 * weights);
  REQUIRE(right.size() == 2 * weights);
  for (const auto& [name, tensor] : left) {
    INFO(name);
    CHECK(tensor.equal(right.at(name)));
  }
}

inline std::vector<Json> read_events(const gatedpaths::test::fs::path& file) {
  std::vector<Json> events;
  std::istringstream lines(gatedpaths::test::read_file(file));
  for (std::string line; std::getline(lines, line);) {
    events.push_back(Json::parse(line));
  }
  return events;
}

/// That the metrics of a run that was tested after each of `epochs` epochs name
/// each of them once, and one run alone. Gives the number of its starts.
inline int check_whole_metrics(
    const gatedpaths::test::fs::path& file, int epochs, int paths = 2) {
  std::map<std::string, int> counts;
  std::map<std::string, int> runs;
  std::int64_t last_epoch = 0;
  for (const auto& event : read_events(file)) {
    ++counts[event.at("event")];
    if (event.at("event") == "epoch") {
      CHECK(event.at("epoch") == ++last_epoch);
    } else if (event.at("event") == "start") {
      ++runs[event.at("run")];
    }
  }
  CHECK(counts["epoch"] == epochs);
  CHECK(counts["test"] == paths * epochs);
  CHECK(counts["end"] == 1);
  CHECK(runs.size() == 1);
  return counts["start"];
}

}  // namespace cifar10
