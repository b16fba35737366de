// SPDX-License-Identifier: MIT
// What a run of the program has left.
#pragma once

#include "metrics.hpp"
#include "support/catch.hpp"
#include "support/files.hpp"

#include <torch/serialize/archive.h>

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

inline void check_same_tensors(
    const gatedpaths::test::fs::path& a, const gatedpaths::test::fs::path& b) {
  torch::serialize::InputArchive left_archive;
  left_archive.load_from(a.string());
  torch::serialize::InputArchive right_archive;
  right_archive.load_from(b.string());
  const auto left = read_tensors(left_archive);
  const auto right = read_tensors(right_archive);
  // 14 weights and the momentum of each
  REQUIRE(left.size() == 28);
  REQUIRE(right.size() == 28);
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
    const gatedpaths::test::fs::path& file, int epochs) {
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
  CHECK(counts["test"] == 2 * epochs);
  CHECK(counts["end"] == 1);
  CHECK(runs.size() == 1);
  return counts["start"];
}

}  // namespace cifar10
