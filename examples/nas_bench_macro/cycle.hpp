// SPDX-License-Identifier: MIT
// The stages, one after the other; each leaves its file in --out and goes on
// from it.
#pragma once

#include "options.hpp"
#include "progress.hpp"
#include "ranking.hpp"
#include "search_images.hpp"
#include "supernet.hpp"
#include "table.hpp"

#include <gatedpaths/search/cost_model.hpp>

#include <string>
#include <vector>

namespace nas_bench_macro {

/// | stage | leaves |
/// |---|---|
/// | training | `supernet.pt`, `training.jsonl` |
/// | ranking | `scores_*.jsonl`; `ranking.txt` when it is done |
/// | search | `search_*.jsonl` |
/// | derivation | `net.safetensors` |
/// | report | `report.json` and pictures |
class Cycle {
 public:
  Cycle(const Options& options, SearchImages images);

  /// Gives the exit status: 0, or 128 + the signal that stopped it.
  int run(const std::string& command);

 private:
  void announce();
  bool train();
  bool rank();
  bool find();
  std::vector<std::string> notes() const;
  int stop(const std::string& command);

  Options options_;
  Table table_;
  gatedpaths::CostModel cost_;
  cifar10::Progress progress_;
  Supernet supernet_;
  Ranking ranking_;
};

}  // namespace nas_bench_macro
