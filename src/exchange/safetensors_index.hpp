// SPDX-License-Identifier: MIT
// Which of several safetensors files has which tensor. Not installed.
#pragma once

#include <gatedpaths/exchange/safetensors.hpp>

#include "safetensors_header.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace gatedpaths::detail {

class SafetensorsIndex {
 public:
  /// Reads one.
  ///
  /// Throws: `c10::ValueError`, in the name of `function`, where it is
  /// malformed or names a file outside of its folder.
  static SafetensorsIndex read(
      std::string_view function, const std::filesystem::path& path);

  /// That of new files with these tensors.
  ///
  /// Throws: `c10::ValueError`, in the name of `function`, where `path` does
  /// not end as it has to.
  static SafetensorsIndex of(
      std::string_view function,
      const std::filesystem::path& path,
      const std::vector<StateDict>& shards);

  /// The files' names, in order.
  const std::vector<std::string>& files() const noexcept { return files_; }

  const SafetensorsMetadata& metadata() const noexcept { return metadata_; }

  /// Throws where the file has other tensors than this says.
  void check(const std::string& file, const SafetensorsHeader& header) const;

  /// The text of its file.
  std::string text(const SafetensorsMetadata& metadata) const;

 private:
  std::string label_;
  std::vector<std::string> files_;
  std::map<std::string, std::string> file_of_;  // by tensor
  SafetensorsMetadata metadata_;
  uint64_t total_size_ = 0;
};

}  // namespace gatedpaths::detail
