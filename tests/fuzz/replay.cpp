// SPDX-License-Identifier: MIT
// replay HARNESS FILE-OR-FOLDER...: gives each file to a harness, in this
// process.
#include "harnesses.hpp"

#include <algorithm>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
using namespace gatedpaths::fuzz;

const std::map<std::string, void (*)(Bytes)> kHarnesses = {
    {"checkpoint", checkpoint},
    {"checkpoint_bytes", checkpoint_bytes},
    {"cost_json", cost_json},
    {"depth_rates_text", depth_rates_text},
    {"evaluation_results", evaluation_results},
    {"path_text", path_text},
    {"safetensors", safetensors},
    {"schedule_text", schedule_text},
    {"space_json", space_json},
    {"search_history", search_history},
    {"space_layout", space_layout},
#ifdef GATEDPATHS_FUZZ_CIFAR10
    {"cifar10_checkpoint", cifar10_checkpoint},
    {"cifar10_class_names", cifar10_class_names},
    {"cifar10_command_line", cifar10_command_line},
    {"cifar10_metrics", cifar10_metrics},
    {"cifar10_position", cifar10_position},
    {"cifar10_records", cifar10_records},
#endif
#ifdef GATEDPATHS_FUZZ_NAS_BENCH_201
    {"nas_bench_201_architecture", nas_bench_201_architecture},
#endif
};

std::vector<fs::path> files_of(const fs::path& path) {
  if (!fs::is_directory(path)) {
    return {path};
  }
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(path)) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// Whether the harness found nothing.
bool passes(void (*harness)(Bytes), const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  try {
    harness({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
    return true;
  } catch (const std::exception& error) {
    std::cerr << file.string() << ": " << error.what() << '\n';
    return false;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto harness =
      words.empty() ? kHarnesses.end() : kHarnesses.find(words[0]);
  if (harness == kHarnesses.end() || words.size() < 2) {
    std::cerr << "usage: replay HARNESS FILE-OR-FOLDER...\n";
    return 2;
  }
  int count = 0;
  bool found_nothing = true;
  for (std::size_t i = 1; i < words.size(); ++i) {
    for (const auto& file : files_of(words[i])) {
      // Before it: a crash leaves no other sign of which it was.
      std::cout << file.filename().string() << '\n' << std::flush;
      found_nothing = passes(harness->second, file) && found_nothing;
      ++count;
    }
  }
  if (count == 0) {
    std::cerr << "replay: expected files, got none\n";
  }
  return found_nothing && count > 0 ? 0 : 1;
}
