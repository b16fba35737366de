// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/gated_module.hpp>

#include <set>

#include "support/catch.hpp"
#include "support/chi_square.hpp"
#include "support/errors.hpp"
#include "support/fake_gate.hpp"

using Catch::Matchers::Equals;
using gatedpaths::DrawState;
using gatedpaths::test::FakeGate;
using gatedpaths::test::message_of;

namespace {

using Set = std::vector<int64_t>;

std::vector<std::string> numbered(int64_t count) {
  std::vector<std::string> names;
  for (int64_t i = 0; i < count; ++i) {
    names.push_back(std::to_string(i));
  }
  return names;
}

}  // namespace

TEST_CASE(
    "GatedModule: the first branches are open at first", "[gated_module]") {
  const FakeGate gate({"a", "b", "c"}, 0, 2);
  CHECK(gate.num_branches() == 3);
  CHECK(gate.min_open() == 0);
  CHECK(gate.max_open() == 2);
  CHECK(gate.branch_names() == std::vector<std::string>{"a", "b", "c"});
  CHECK(gate.open_branches() == Set{0, 1});
  CHECK(gate.is_open(0));
  CHECK(gate.is_open("b"));
  CHECK_FALSE(gate.is_open(2));
  CHECK_FALSE(gate.is_open("c"));
  CHECK(gate.branch_index("c") == 2);
}

TEST_CASE(
    "GatedModule: set_open takes indices in any order, and names",
    "[gated_module]") {
  FakeGate gate({"a", "b", "c"}, 0, 3);
  gate.set_open({2, 0});
  CHECK(gate.open_branches() == Set{0, 2});
  gate.set_open({"c", "b"});
  CHECK(gate.open_branches() == Set{1, 2});
  gate.set_open({"a"});
  CHECK(gate.open_branches() == Set{0});
  gate.set_open({});
  CHECK(gate.open_branches().empty());
  gate.set_open(Set{2, 1, 0});
  CHECK(gate.open_branches() == Set{0, 1, 2});
  gate.set_open(gate.open_branches().slice(1));  // a part of itself
  CHECK(gate.open_branches() == Set{1, 2});
}

TEST_CASE(
    "GatedModule: an open set that is not allowed changes nothing",
    "[gated_module][error]") {
  FakeGate gate({"a", "b", "c"}, 1, 2);
  gate.set_open({2});
  const auto value_error = [&](const Set& open) {
    return message_of<c10::ValueError>([&] { gate.set_open(open); });
  };
  const auto index_error = [&](const Set& open) {
    return message_of<c10::IndexError>([&] { gate.set_open(open); });
  };
  CHECK(
      value_error({0, 1, 2}) ==
      "FakeGate::set_open: expected 1 to 2 open branches, got 3 (0, 1, 2) of "
      "('a', 'b', 'c')");
  CHECK(
      value_error({}) ==
      "FakeGate::set_open: expected 1 to 2 open branches, got 0 () of ('a', "
      "'b', 'c')");
  CHECK(
      value_error({1, 0, 1}) ==
      "FakeGate::set_open: expected different branches, got 1 ('b') twice");
  CHECK(
      index_error({0, 5}) ==
      "FakeGate::set_open: expected a branch index in [0, 3), got 5");
  CHECK(
      index_error({0, -1}) ==
      "FakeGate::set_open: expected a branch index in [0, 3), got -1");
  CHECK(message_of<c10::IndexError>([&] {
          gate.set_open({"a", "d"});
        }) == "FakeGate::set_open: expected one of ('a', 'b', 'c'), got 'd'");
  CHECK(gate.open_branches() == Set{2});
}

TEST_CASE(
    "GatedModule: a branch that is not there is an error",
    "[gated_module][error]") {
  const FakeGate gate({"a", "b", "c"});
  CHECK(message_of<c10::IndexError>([&] {
          gate.is_open(3);
        }) == "FakeGate::is_open: expected a branch index in [0, 3), got 3");
  CHECK(message_of<c10::IndexError>([&] {
          gate.is_open("d");
        }) == "FakeGate::is_open: expected one of ('a', 'b', 'c'), got 'd'");
  CHECK(
      message_of<c10::IndexError>([&] { gate.branch_index(""); }) ==
      "FakeGate::branch_index: expected one of ('a', 'b', 'c'), got ''");
}

TEST_CASE(
    "GatedModule: messages do not list thousands of names",
    "[gated_module][error]") {
  const FakeGate gate(numbered(4096));
  CHECK_THAT(
      message_of<c10::IndexError>([&] { gate.branch_index("x"); }),
      Equals(
          "FakeGate::branch_index: expected one of ('0', '1', '2', '3', '4', "
          "'5', '6', '7', '8', '9', '10', '11', '12', '13', '14', '15', and "
          "4080 more), got 'x'"));
}

TEST_CASE(
    "GatedModule: names and bounds are checked", "[gated_module][error]") {
  const auto error =
      [](std::vector<std::string> names, int64_t min_open, int64_t max_open) {
        return message_of<c10::ValueError>(
            [&] { FakeGate(std::move(names), min_open, max_open); });
      };
  CHECK(error({}, 1, 1) == "FakeGate: expected at least one branch, got none");
  CHECK(
      error({"a", "b", "a"}, 1, 1) ==
      "FakeGate: expected different branch names, got 'a' for branches 0 and "
      "2");
  CHECK(
      error({"a", ""}, 1, 1) ==
      "FakeGate: expected branch names that are not empty, got '' for branch "
      "1");
  CHECK(
      error({"a.b"}, 1, 1) ==
      "FakeGate: expected branch names without a dot, got 'a.b' for branch 0");
  const auto [low, high] = GENERATE(
      table<int64_t, int64_t>({{-1, 1}, {2, 1}, {0, 3}, {0, 0}, {3, 3}}));
  CHECK(
      error({"a", "b"}, low, high) ==
      "FakeGate: expected 0 <= min_open <= max_open <= 2 and max_open >= 1, "
      "got min_open=" +
          std::to_string(low) + " and max_open=" + std::to_string(high));
}

TEST_CASE(
    "GatedModule: draws by itself in training, and holds still in eval",
    "[gated_module][random]") {
  FakeGate gate(numbered(64));
  gate.set_open({5});
  gate.draw_each_forward(7);
  CHECK(gate.draw_state() == DrawState{7, 0});
  CHECK(gate.open_branches() == Set{5});

  std::vector<Set> drawn;
  for (int i = 0; i < 10; ++i) {
    gate.forward();
    drawn.push_back(gate.open_branches().vec());
  }
  CHECK(gate.draw_state() == DrawState{7, 10});
  CHECK(std::set<Set>(drawn.begin(), drawn.end()).size() > 5);

  SECTION("eval returns to what was applied, and draws nothing") {
    gate.eval();
    gate.forward();
    CHECK(gate.open_branches() == Set{5});
    CHECK(gate.draw_state() == DrawState{7, 10});
  }
  SECTION("what is applied holds until the next training forward") {
    gate.set_open({6});
    CHECK(gate.open_branches() == Set{6});
    gate.forward();
    CHECK(gate.draw_state() == DrawState{7, 11});
    gate.stop_drawing();
    CHECK(gate.open_branches() == Set{6});
    CHECK_FALSE(gate.draw_state().has_value());
    gate.forward();
    CHECK(gate.open_branches() == Set{6});
  }
  SECTION("a saved state goes on exactly") {
    FakeGate other(numbered(64));
    other.set_draw_state({7, 4});
    for (size_t i = 4; i < 10; ++i) {
      other.forward();
      CHECK(other.open_branches() == drawn[i]);
    }
    CHECK(other.draw_state() == gate.draw_state());
  }
}

TEST_CASE(
    "GatedModule: own draws are uniform and leave the global stream alone",
    "[gated_module][random]") {
  torch::manual_seed(1);
  const auto expected = torch::rand({3});
  torch::manual_seed(1);
  FakeGate gate({"a", "b", "c"}, 0, 2);
  gate.draw_each_forward(3);
  std::map<Set, int64_t> seen;
  for (int i = 0; i < 7000; ++i) {
    gate.forward();
    ++seen[gate.open_branches().vec()];
  }
  std::vector<int64_t> counts;
  for (const auto& [set, count] : seen) {
    counts.push_back(count);
  }
  CHECK(counts.size() == 7);
  CHECK(gatedpaths::test::deviations_from_uniform(counts) < 4);
  CHECK(torch::equal(torch::rand({3}), expected));
}

TEST_CASE(
    "GatedModule: tells what a forward with gates of its own ran",
    "[gated_module][forward]") {
  FakeGate gate({"a", "b", "c"});
  gate.set_open({1});
  CHECK(gate.ran_branches().vec() == Set{1});
  gate.forward_of({0, 2});
  CHECK(gate.ran_branches().vec() == Set{0, 2});
  CHECK(gate.open_branches().vec() == Set{1});
  SECTION("until the next forward") { gate.forward(); }
  SECTION("until the next setting") { gate.set_open({1}); }
  CHECK(gate.ran_branches().vec() == Set{1});
}

TEST_CASE(
    "GatedModule: tells what was opened by hand, whatever was drawn since",
    "[gated_module][random]") {
  FakeGate gate({"a", "b", "c"});
  CHECK(gate.applied_branches().vec() == Set{0});
  gate.set_open({1});
  gate.draw_each_forward(3);
  bool differs = false;
  for (int i = 0; i < 20; ++i) {
    gate.forward();
    differs = differs || gate.open_branches().vec() != Set{1};
    CHECK(gate.applied_branches().vec() == Set{1});
  }
  CHECK(differs);
  gate.eval();
  gate.forward();
  CHECK(gate.open_branches().vec() == gate.applied_branches().vec());
}
