// SPDX-License-Identifier: MIT
// Decides which images a run trains on.
#pragma once

#include "dataset.hpp"
#include "download.hpp"

#include <cstdint>
#include <filesystem>

namespace cifar10 {

struct DataRequest {
  std::filesystem::path folder{};  // empty: none was named
  bool download = false;
  Archive archive{};
  std::int64_t limit = 0;  // keep the first images of each set; 0 keeps all
};

/// The data in the folder that was named; else a fresh download; else what an
/// earlier download left; else the generated stand-in.
Dataset load_data(const DataRequest& request);

}  // namespace cifar10
