// SPDX-License-Identifier: MIT
#include "run_folder.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <string>
#include <system_error>
#include <vector>

namespace nas_bench_macro {
namespace {

namespace fs = std::filesystem;

bool is_of_a_stage(const std::string& name) {
  return name == "supernet.pt" || name == "ranking.txt" ||
         name == "net.safetensors" || name == "report.json" ||
         ((name.starts_with("scores_") || name.starts_with("search_")) &&
          name.ends_with(".jsonl"));
}

}  // namespace

fs::path supernet_file(const fs::path& folder) {
  return folder / "supernet.pt";
}

void make_run_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  TORCH_CHECK(
      !error && fs::is_directory(folder),
      fmt::format(
          "--out: expected a folder that can be made, got '{}'{}",
          folder.string(),
          error ? ": " + error.message() : ""));
}

void clear_run_folder(const fs::path& folder, bool overwrite) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (is_of_a_stage(entry.path().filename().string())) {
      files.push_back(entry.path());
    }
  }
  TORCH_CHECK_VALUE(
      files.empty() || overwrite,
      fmt::format(
          "--out: expected a folder without results of another run, got '{}'; "
          "add --overwrite to remove them, or name another folder",
          files.empty() ? "" : files.front().string()));
  for (const auto& file : files) {
    fs::remove(file);
  }
}

}  // namespace nas_bench_macro
