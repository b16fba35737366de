// SPDX-License-Identifier: MIT
// Saved states of search strategies that are none.
#include <gatedpaths/search/local_search.hpp>
#include <gatedpaths/search/random_search.hpp>
#include <gatedpaths/search/search_strategy.hpp>
#include <gatedpaths/search/successive_halving.hpp>

#include <torch/serialize/archive.h>

#include <cstdint>
#include <limits>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/strategies.hpp"

using gatedpaths::LocalSearch;
using gatedpaths::RandomSearch;
using gatedpaths::SearchStrategy;
using gatedpaths::SuccessiveHalving;
using gatedpaths::test::message_of;
using gatedpaths::test::search_layout;

namespace {

using SavedValues = std::map<std::string, c10::IValue>;

c10::IValue saved_integers(const std::vector<int64_t>& numbers) {
  return at::tensor(numbers, at::kLong);
}

// What `strategy` saves, with other values in the place of some.
std::string refused_state(
    SearchStrategy& strategy, const SavedValues& changes) {
  std::stringstream stream;
  torch::serialize::OutputArchive out;
  strategy.save(out);
  out.save_to(stream);
  torch::serialize::InputArchive in;
  in.load_from(stream);
  torch::serialize::OutputArchive changed;
  for (const auto& key : in.keys()) {
    c10::IValue value;
    in.read(key, value);
    const auto change = changes.find(key);
    changed.write(key, change == changes.end() ? value : change->second);
  }
  std::stringstream changed_stream;
  changed.save_to(changed_stream);
  torch::serialize::InputArchive archive;
  archive.load_from(changed_stream);
  const auto pending = strategy.pending();
  const auto told = strategy.told();
  const auto message =
      message_of<c10::ValueError>([&] { strategy.load(archive); });
  CHECK((strategy.pending() == pending));
  CHECK(strategy.told() == told);
  return message;
}

}  // namespace

TEST_CASE(
    "SearchStrategy: refuses states that nobody saved",
    "[search][serialize][error]") {
  RandomSearch strategy(search_layout(), 5);
  const auto paths = strategy.ask(3);
  strategy.tell(paths[0], {1});
  strategy.tell_failure(paths[1]);
  CHECK(refused_state(strategy, {}) == "(no error)");
  const std::string start = "RandomSearch::load: expected ";
  CHECK(
      refused_state(strategy, {{"seed", std::string("7")}}) ==
      start + "an integer as 'seed', got another value");
  CHECK(
      refused_state(strategy, {{"space", int64_t{7}}}) ==
      start + "a text as 'space', got another value");
  CHECK(
      refused_state(
          strategy,
          {{"told", at::tensor(std::vector<double>{0, 1}, at::kDouble)}}) ==
      start + "a tensor of one dim as 'told', got another value");
  CHECK(
      refused_state(strategy, {{"told", saved_integers({0, 3})}}) ==
      start + "numbers of paths as 'told', got another value");
  CHECK(
      refused_state(strategy, {{"told", saved_integers({0})}}) ==
      start +
          "one for each result and objective as 'values', got another "
          "value");
  CHECK(
      refused_state(strategy, {{"waits", saved_integers({0, 1})}}) ==
      start + "one for each path as 'waits', got another value");
  const double infinite = std::numeric_limits<double>::infinity();
  CHECK(
      refused_state(
          strategy,
          {{"values",
            at::tensor(std::vector<double>{1, infinite}, at::kDouble)}}) ==
      start +
          "finite values, or none of a result as 'values', got another "
          "value");
  CHECK(
      refused_state(strategy, {{"numbers", saved_integers({1})}}) ==
      start + "those of such a strategy as 'numbers', got another value");
}

TEST_CASE(
    "SearchStrategy: refuses saved paths that are none",
    "[search][serialize][error]") {
  RandomSearch strategy(search_layout(), 5);
  const std::string start = "RandomSearch::load: expected ";
  strategy.tell(search_layout()->parse("a=1;b=0;c=0;d=0"), {1});
  const auto with = [&](const std::vector<int64_t>& choices) {
    return refused_state(strategy, {{"paths", saved_integers(choices)}});
  };
  CHECK(with({1, 2, 1, 0, 1, 0, 1, 0}) == "(no error)");
  CHECK(
      with({1, 1, 1, 0}) ==
      start +
          "1 paths of the space, got: expected 1 more numbers of paths, "
          "got 0");
  CHECK(
      with({-1, 1, 1, 0, 1, 0, 1, 0}) ==
      start +
          "1 paths of the space, got: expected 18446744073709551615 more "
          "numbers of paths, got 7");
  CHECK_THAT(
      with({1, 3, 1, 0, 1, 0, 1, 0}),
      Catch::Matchers::StartsWith(
          start + "1 paths of the space, got: SpaceLayout::make_path: expected "
                  "branches in [0, 3)"));
  CHECK(
      with({1, 1, 1, 0, 1, 0, 1, 0, 1}) ==
      start + "as many paths as there are as 'paths', got another value");

  // It holds a=2 now.
  strategy.tell(search_layout()->parse("a=1;b=0;c=0;d=0"), {1});
  CHECK(
      with({1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0}) ==
      start + "different paths, got a=1;b=0;c=0;d=0 twice");
}

TEST_CASE(
    "SearchStrategy: a class refuses numbers that are not its own",
    "[search][serialize][error]") {
  LocalSearch local(search_layout(), 5);
  SuccessiveHalving halving(search_layout(), 5);
  for (auto* const strategy : std::vector<SearchStrategy*>{&local, &halving}) {
    const auto paths = strategy->ask(3);
    strategy->tell(paths[0], {1});
    strategy->tell(paths[1], {2});
  }
  const auto are_refused = [](SearchStrategy& strategy,
                              const std::vector<int64_t>& numbers) {
    return refused_state(strategy, {{"numbers", saved_integers(numbers)}}) ==
           strategy.name() +
               "::load: expected those of such a strategy as 'numbers', got "
               "another value";
  };
  CHECK_FALSE(are_refused(local, {0}));
  CHECK(are_refused(local, {}));
  CHECK(are_refused(local, {2}));
  CHECK(are_refused(local, {-2}));
  // How many paths have a rung, those rungs, those of the results.
  CHECK_FALSE(are_refused(halving, {1, 3, 0, 1}));
  CHECK(are_refused(halving, {}));
  CHECK(are_refused(halving, {0, 0}));
  CHECK(are_refused(halving, {4, 0, 0, 0, 0, 0, 0}));
  CHECK(are_refused(halving, {0, 0, 4}));
  CHECK(are_refused(halving, {0, -1, 0}));
  CHECK(are_refused(halving, {-1, 0}));
}
