// SPDX-License-Identifier: MIT
// Results of paths in a file, one JSON object a line. Not installed.
#pragma once

#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/space_layout.hpp>

#include "json_lines.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

namespace gatedpaths::detail {

/// What the results in a file are of: its first line.
struct ResultFileHead {
  std::vector<std::string> metric;  ///< The names of the values.
  int64_t batches = 0;              ///< On how many they were measured.
  int64_t samples = 0;              ///< And how many samples these had.
};

/// A file that only grows: the head's line, then one for each path, each on its
/// way to the disk when `add` returns.
class ResultFile {
 public:
  /// Reads the file, where there is one. Throws where it is of something else.
  ResultFile(
      std::filesystem::path file,
      const SpaceLayout& layout,
      const ResultFileHead& head);

  /// The values of a path; null where it has none.
  const std::vector<double>* find(const Path& path) const;

  /// Appends a result.
  void add(const Path& path, const std::vector<double>& values);

 private:
  const SpaceLayout& layout_;
  std::unordered_map<Path, std::vector<double>> results_;
  JsonLines lines_;
};

}  // namespace gatedpaths::detail
