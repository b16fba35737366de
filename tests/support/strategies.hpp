// SPDX-License-Identifier: MIT
// What every search strategy promises.
#pragma once

#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/space_layout.hpp>
#include <gatedpaths/search/search_strategy.hpp>

#include <torch/serialize/archive.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/costs.hpp"
#include "support/errors.hpp"
#include "support/samplers.hpp"

namespace gatedpaths::test {

/// Makes the strategy of a seed.
using StrategyMaker =
    std::function<std::unique_ptr<SearchStrategy>(uint64_t seed)>;

/// Four gates of three, one of which lies in a branch of the first: 135 paths.
inline std::shared_ptr<const SpaceLayout> search_layout() {
  return shared_layout(
      {numbered_gate("a", 3, 1, 1),
       numbered_gate("a.in", 3, 1, 1, {{0, 0}}),
       numbered_gate("b", 3, 1, 1),
       numbered_gate("c", 3, 1, 1),
       numbered_gate("d", 3, 1, 1)});
}

/// A value that is larger for larger branches, by gate, with the gates of a
/// pair acting on each other; other paths have other values.
inline double search_value(const Path& path) {
  double value = 0;
  double before = 1;
  for (const auto& [gate, open] : path) {
    double sum = 0;
    for (const int64_t branch : open) {
      sum += static_cast<double>(branch);
    }
    value += sum * (1 + 0.13 * static_cast<double>(gate)) + 0.1 * sum * before;
    before = sum;
  }
  return value;
}

/// As many values as the strategy has objectives.
inline std::vector<double> search_values(
    const SearchStrategy& strategy, const Path& path) {
  std::vector<double> values;
  for (size_t i = 0; i < strategy.options().objectives().size(); ++i) {
    values.push_back(
        i == 0 ? search_value(path) : static_cast<double>(path.hash() % 97));
  }
  return values;
}

/// Asks for and tells `count` paths, one by one; every seventh has failed.
inline std::vector<std::string> search_paths(
    SearchStrategy& strategy, int64_t count) {
  std::vector<std::string> texts;
  for (int64_t i = 0; i < count; ++i) {
    const auto paths = strategy.ask();
    if (paths.empty()) {
      break;
    }
    texts.push_back(strategy.layout()->to_string(paths[0]));
    if (strategy.told() % 7 == 6) {
      strategy.tell_failure(paths[0]);
    } else {
      strategy.tell(paths[0], search_values(strategy, paths[0]));
    }
  }
  return texts;
}

/// What `strategy` saves, loaded into `into`.
inline void save_and_load(
    const SearchStrategy& strategy, SearchStrategy& into) {
  std::stringstream stream;
  torch::serialize::OutputArchive out;
  strategy.save(out);
  out.save_to(stream);
  torch::serialize::InputArchive in;
  in.load_from(stream);
  into.load(in);
}

/// No path twice, all of the space, then none.
inline void check_asks_for_all(const StrategyMaker& make, size_t size) {
  const auto strategy = make(5);
  const auto texts = search_paths(*strategy, static_cast<int64_t>(size) + 5);
  CHECK(std::set<std::string>(texts.begin(), texts.end()).size() == size);
  CHECK(texts.size() == size);
  CHECK(strategy->exhausted());
  CHECK(strategy->ask(3).empty());
  CHECK(strategy->asked() == size);
}

/// The same seed, the same asks and tells: the same paths; another seed,
/// others; and `ask(n)` is n times `ask()`.
inline void check_is_a_function_of_the_seed(const StrategyMaker& make) {
  const auto first = make(5);
  const auto second = make(5);
  const auto other = make(6);
  const auto texts = search_paths(*first, 40);
  CHECK(search_paths(*second, 40) == texts);
  CHECK(search_paths(*other, 40) != texts);
  const auto at_once = first->ask(6);
  REQUIRE(at_once.size() == 6);
  for (const Path& path : at_once) {
    CHECK((second->ask() == std::vector{path}));
  }
  CHECK((first->pending() == at_once));
}

/// Saved after any number of results, with asks that wait, it goes on exactly.
inline void check_goes_on_exactly(const StrategyMaker& make) {
  for (const int64_t results : {0, 1, 6, 13, 30, 47}) {
    CAPTURE(results);
    const auto whole = make(5);
    search_paths(*whole, results);
    const auto waiting = whole->ask(3);
    whole->tell(waiting[2], search_values(*whole, waiting[2]));

    const auto resumed = make(99);
    search_paths(*resumed, 3);  // which is forgotten
    save_and_load(*whole, *resumed);
    CHECK(resumed->seed() == 5);
    CHECK(resumed->asked() == whole->asked());
    CHECK(resumed->told() == whole->told());
    CHECK(resumed->failures() == whole->failures());
    CHECK((resumed->pending() == std::vector{waiting[0], waiting[1]}));
    for (auto* strategy : {whole.get(), resumed.get()}) {
      strategy->tell(waiting[1], search_values(*strategy, waiting[1]));
    }
    CHECK(search_paths(*resumed, 40) == search_paths(*whole, 40));
  }
}

}  // namespace gatedpaths::test
