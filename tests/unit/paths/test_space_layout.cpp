// SPDX-License-Identifier: MIT
#include <gatedpaths/paths/space_layout.hpp>

#include <algorithm>
#include <numeric>
#include <set>

#include "support/catch.hpp"
#include "support/errors.hpp"

using Catch::Matchers::WithinRel;
using gatedpaths::GateLayout;
using gatedpaths::Path;
using gatedpaths::SpaceLayout;
using gatedpaths::test::message_of;

namespace {

using Gates = std::vector<GateLayout>;
using Set = std::vector<int64_t>;

std::vector<std::string> names(int64_t count) {
  std::vector<std::string> result;
  for (int64_t i = 0; i < count; ++i) {
    result.push_back(std::to_string(i));
  }
  return result;
}

GateLayout plain_gate(
    const std::string& name,
    int64_t branches,
    int64_t low,
    int64_t high,
    std::vector<gatedpaths::GatePlace> places = {}) {
  return {name, names(branches), low, high, std::move(places)};
}

// All paths as text, by trying every subset of every gate: nothing is taken
// from the code under test but the check of what is reached.
std::set<std::string> brute_force(const SpaceLayout& layout) {
  std::vector<std::vector<Set>> choices;
  for (const GateLayout& each : layout.gates()) {
    choices.emplace_back();
    for (uint64_t bits = 0; bits < uint64_t{1} << each.branch_names.size();
         ++bits) {
      Set set;
      for (size_t i = 0; i < each.branch_names.size(); ++i) {
        if ((bits >> i & 1U) != 0) {
          set.push_back(static_cast<int64_t>(i));
        }
      }
      const auto size = static_cast<int64_t>(set.size());
      if (each.min_open <= size && size <= each.max_open) {
        choices.back().push_back(set);
      }
    }
  }
  std::set<std::string> texts;
  std::vector<size_t> digits(choices.size());
  size_t place = 0;
  while (place < digits.size() || texts.empty()) {
    texts.insert(
        layout.to_string(layout.make_path([&](int64_t number, Set& open) {
          const auto i = static_cast<size_t>(number);
          open = choices[i][digits[i]];
        })));
    for (place = 0; place < digits.size(); ++place) {
      if (++digits[place] < choices[place].size()) {
        break;
      }
      digits[place] = 0;
    }
  }
  return texts;
}

void check_counts(const SpaceLayout& layout) {
  const auto expected = brute_force(layout);
  REQUIRE(layout.size() == expected.size());
  CHECK_THAT(
      layout.log2_size(),
      WithinRel(std::log2(static_cast<double>(expected.size())), 1e-13));
  std::set<std::string> listed;
  for (uint64_t i = 0; i < layout.size(); ++i) {
    const Path path = layout.at(i);
    const std::string text = layout.to_string(path);
    CHECK(layout.parse(text) == path);
    listed.insert(text);
  }
  CHECK(listed == expected);
}

}  // namespace

TEST_CASE(
    "SpaceLayout: counts and lists what trying all settings finds",
    "[space_layout]") {
  SECTION("no gate") { check_counts(SpaceLayout(Gates{})); }
  SECTION("one of n") { check_counts(SpaceLayout({plain_gate("g", 4, 1, 1)})); }
  SECTION("k of n, all bounds") {
    for (int64_t n = 1; n <= 5; ++n) {
      for (int64_t high = 1; high <= n; ++high) {
        for (int64_t low = 0; low <= high; ++low) {
          check_counts(SpaceLayout({plain_gate("g", n, low, high)}));
        }
      }
    }
  }
  SECTION("gates beside each other") {
    check_counts(SpaceLayout(
        {plain_gate("a", 2, 0, 2),
         plain_gate("b", 3, 1, 1),
         plain_gate("c", 3, 2, 3)}));
  }
  SECTION("a gate in a branch, k of n") {
    for (int64_t high = 1; high <= 4; ++high) {
      for (int64_t low = 0; low <= high; ++low) {
        check_counts(SpaceLayout(
            {plain_gate("outer", 4, low, high),
             plain_gate("i", 3, 1, 1, {{0, 0}}),
             plain_gate("j", 2, 0, 2, {{0, 2}})}));
      }
    }
  }
  SECTION("two gates in one branch, and one in it, and one beside") {
    check_counts(SpaceLayout(
        {plain_gate("outer", 3, 1, 2),
         plain_gate("i", 2, 1, 1, {{0, 1}}),
         plain_gate("j", 3, 1, 2, {{0, 1}}),
         plain_gate("deep", 2, 0, 1, {{2, 0}}),
         plain_gate("last", 2, 1, 1)}));
  }
}

TEST_CASE(
    "SpaceLayout: the order of paths is as documented", "[space_layout]") {
  const auto texts = [](const SpaceLayout& layout) {
    std::vector<std::string> result;
    for (uint64_t i = 0; i < layout.size(); ++i) {
      result.push_back(layout.to_string(layout.at(i)));
    }
    return result;
  };
  CHECK(
      texts(SpaceLayout({plain_gate("g", 3, 1, 2)})) ==
      std::vector<std::string>{"g=0", "g=1", "g=2", "g=0+1", "g=0+2", "g=1+2"});
  CHECK(
      texts(
          SpaceLayout({plain_gate("a", 2, 1, 1), plain_gate("b", 2, 1, 1)})) ==
      std::vector<std::string>{"a=0;b=0", "a=0;b=1", "a=1;b=0", "a=1;b=1"});
  CHECK(
      texts(SpaceLayout(
          {plain_gate("o", 2, 0, 2), plain_gate("i", 2, 1, 1, {{0, 0}})})) ==
      std::vector<std::string>{
          "o=", "o=0;i=0", "o=0;i=1", "o=1", "o=0+1;i=0", "o=0+1;i=1"});
}

TEST_CASE("SpaceLayout: sizes are exact up to 64 bits", "[space_layout]") {
  CHECK(SpaceLayout({plain_gate("g", 64, 1, 64)}).size() == UINT64_MAX);
  CHECK(SpaceLayout({plain_gate("g", 63, 0, 63)}).size() == uint64_t{1} << 63U);
  CHECK(
      SpaceLayout({plain_gate("g", 62, 31, 31)}).size() == 465428353255261088U);
  CHECK(SpaceLayout({plain_gate("g", 4096, 1, 1)}).size() == 4096);
  CHECK(SpaceLayout({plain_gate("g", 4096, 4095, 4096)}).size() == 4097);
  CHECK(SpaceLayout({plain_gate("g", 4096, 2, 2)}).size() == 8386560);

  // The numbers on the way are too large, the result is not.
  const SpaceLayout nested(
      {plain_gate("g", 200, 199, 200), plain_gate("i", 3, 1, 1, {{0, 7}})});
  CHECK(nested.size() == 3 + 199 * 3 + 1);
  std::set<std::string> texts;
  for (uint64_t i = 0; i < nested.size(); ++i) {
    texts.insert(nested.to_string(nested.at(i)));
  }
  CHECK(texts.size() == nested.size());

  const SpaceLayout largest({plain_gate("g", 64, 1, 64)});
  CHECK(largest.at(UINT64_MAX - 1).open_branches(0).size() == 64);
  CHECK(largest.at(0).open_branches(0) == Set{0});
}

TEST_CASE(
    "SpaceLayout: larger spaces have a logarithm", "[space_layout][error]") {
  const SpaceLayout subsets({plain_gate("g", 1000, 0, 1000)});
  CHECK_THAT(subsets.log2_size(), WithinRel(1000.0, 1e-12));
  CHECK(
      message_of<c10::ValueError>([&] { subsets.size(); }) ==
      "PathSpace::size: expected a number of paths that fits 64 bits, got "
      "2^1000.00");
  CHECK(
      message_of<c10::ValueError>([&] { subsets.at(0); }) ==
      "PathSpace::size: expected a number of paths that fits 64 bits, got "
      "2^1000.00");
  // log2 of 4096! / 2048!^2
  CHECK_THAT(
      SpaceLayout({plain_gate("g", 4096, 2048, 2048)}).log2_size(),
      WithinRel(4089.6741638801477, 1e-12));
  Gates many;
  for (int i = 0; i < 100; ++i) {
    many.push_back(plain_gate(std::to_string(i), 4, 1, 1));
  }
  CHECK_THAT(SpaceLayout(many).log2_size(), WithinRel(200.0, 1e-13));
  // Half of the paths go through the 2^100 inside.
  CHECK_THAT(
      SpaceLayout({plain_gate("o", 2, 0, 2),
                   plain_gate("i", 100, 0, 100, {{0, 0}}),
                   plain_gate("j", 2, 1, 1, {{0, 1}})})
          .log2_size(),
      WithinRel(100 + std::log2(3.0), 1e-13));
}

TEST_CASE(
    "SpaceLayout: a gate with several places is reached through any of them",
    "[space_layout][error]") {
  const SpaceLayout layout(
      {plain_gate("a", 3, 0, 2),
       plain_gate("b", 2, 1, 1),
       plain_gate("shared", 2, 1, 1, {{0, 0}, {0, 1}, {1, 0}})});
  const auto texts = brute_force(layout);
  CHECK(texts.contains("a=;b=1"));
  CHECK(texts.contains("a=;b=0;shared=1"));
  CHECK(texts.contains("a=0+1;b=0;shared=1"));
  CHECK(texts.contains("a=1+2;b=1;shared=0"));
  CHECK(texts.size() == 12 * 2 + 2);
  for (const std::string& text : texts) {
    CHECK(layout.to_string(layout.parse(text)) == text);
  }
  const std::string rest =
      ": expected each gate in one place, got 'shared' in branch '0' of 'a' "
      "and "
      "in branch '1' of 'a', for which the number of paths is no product";
  CHECK(message_of<c10::ValueError>([&] {
          layout.size();
        }) == "PathSpace::size" + rest);
  CHECK(message_of<c10::ValueError>([&] {
          layout.log2_size();
        }) == "PathSpace::log2_size" + rest);
}

TEST_CASE("SpaceLayout: any name survives the text form", "[space_layout]") {
  const std::vector<std::string> odd{
      "a=b", "+", ";", "\\", "\\;", "", " ", "'", "\n", "é", "a+b;c=d\\"};
  Gates gates;
  for (const std::string& name : odd) {
    gates.push_back({name, {"x=", "\\+", ";y", "z\\"}, 0, 4, {}});
  }
  const SpaceLayout layout(gates);
  for (int64_t size = 0; size <= 4; ++size) {
    const Path path = layout.make_path([&](int64_t, Set& open) {
      open.resize(static_cast<size_t>(size));
      std::iota(open.begin(), open.end(), 0);
    });
    CAPTURE(layout.to_string(path));
    CHECK(layout.parse(layout.to_string(path)) == path);
  }
  const SpaceLayout one({{"a=b", {"c+d", "e"}, 0, 2, {}}});
  CHECK(one.to_string(one.at(3)) == "a\\=b=c\\+d+e");
  CHECK(one.to_string(one.at(0)) == "a\\=b=");
}

TEST_CASE("SpaceLayout: text may name gates in any order", "[space_layout]") {
  const SpaceLayout layout(
      {plain_gate("o", 3, 1, 2),
       plain_gate("i", 2, 1, 1, {{0, 0}}),
       plain_gate("l", 2, 1, 1)});
  CHECK(layout.to_string(layout.parse("l=1;i=0;o=2+0")) == "o=0+2;i=0;l=1");
}

TEST_CASE(
    "SpaceLayout: a text that is no path says why", "[space_layout][error]") {
  const SpaceLayout layout(
      {{"stem", {"conv3", "conv5"}, 1, 1, {}},
       {"cell", {"a", "b"}, 0, 2, {}},
       {"cell.a.op", {"x", "y"}, 1, 1, {{1, 0}}}});
  const auto [text, expected] = GENERATE(table<std::string, std::string>(
      {{"stem=conv3",
        "expected a setting of gate 'cell', got none in 'stem=conv3'"},
       {"", "expected a setting of gate 'stem', got none in ''"},
       {"stem=conv3;cell=a",
        "expected a setting of gate 'cell.a.op', got none in "
        "'stem=conv3;cell=a'"},
       {"stem=conv3;cell=b;stem=conv3",
        "expected each gate once, got 'stem' twice"},
       {"stem=conv3;cell=b;cell.a.op=x",
        "expected no setting of gate 'cell.a.op', which lies in closed "
        "branches only, got one in 'stem=conv3;cell=b;cell.a.op=x'"},
       {"stem=conv3+conv5;cell=",
        "expected 1 to 1 open branches for gate 'stem', got 2 "
        "('conv3+conv5')"},
       {"stem=;cell=",
        "expected 1 to 1 open branches for gate 'stem', got 0 ('')"},
       {"stem=conv3;cell=a+a",
        "expected different branches for gate 'cell', got 'a' twice"},
       {"stem", "expected 'gate=branch+branch' between semicolons, got 'stem'"},
       {"stem=conv3;",
        "expected 'gate=branch+branch' between semicolons, got ''"},
       {"stem=conv3=conv5",
        "expected 'gate=branch+branch' between semicolons, got "
        "'stem=conv3=conv5'"},
       {"stem=conv3\\",
        "expected one of '\\', ';', '=', '+' after each backslash, got "
        "'conv3\\'"},
       {"st\\em=conv3",
        "expected one of '\\', ';', '=', '+' after each backslash, got "
        "'st\\em'"}}));
  CHECK(message_of<c10::ValueError>([&, &text = text] {
          layout.parse(text);
        }) == "PathSpace::parse: " + expected);
}

TEST_CASE(
    "SpaceLayout: a text with an unknown name lists the known ones",
    "[space_layout][error]") {
  const SpaceLayout layout({{"stem", {"conv3", "conv5"}, 1, 1, {}}});
  const auto error = [&](const std::string& text) {
    return message_of<c10::IndexError>([&] { layout.parse(text); });
  };
  CHECK(
      error("stem=conv7") ==
      "PathSpace::parse: expected one of ('conv3', 'conv5') for gate 'stem', "
      "got 'conv7'");
  CHECK(
      error("stem=+conv3") ==
      "PathSpace::parse: expected one of ('conv3', 'conv5') for gate 'stem', "
      "got ''");
  CHECK(
      error("root=conv3") ==
      "PathSpace::parse: expected one of the gates ('stem'), got 'root'");
}

TEST_CASE(
    "SpaceLayout: numbers and names that are not there are errors",
    "[space_layout][error]") {
  const SpaceLayout layout(
      {plain_gate("a", 2, 1, 1), plain_gate("b", 3, 1, 1)});
  CHECK(layout.gate_index("b") == 1);
  CHECK(layout.gate(1).name == "b");
  CHECK(message_of<c10::IndexError>([&] {
          layout.at(6);
        }) == "PathSpace::at: expected an index in [0, 6), got 6");
  CHECK(message_of<c10::IndexError>([&] {
          layout.gate(2);
        }) == "PathSpace::gate: expected a gate number in [0, 2), got 2");
  CHECK(
      message_of<c10::IndexError>([&] { layout.gate_index("c"); }) ==
      "PathSpace::gate_index: expected one of the gates ('a', 'b'), got 'c'");
  CHECK(message_of<c10::ValueError>([&] {
          layout.to_string(Path());
        }).starts_with("PathSpace::to_string: expected a path of space 0x"));
}

TEST_CASE("SpaceLayout: its parts have to fit", "[space_layout][error]") {
  const auto error = [](Gates gates) {
    return message_of<c10::ValueError>(
        [&] { SpaceLayout layout(std::move(gates)); });
  };
  CHECK(
      error({plain_gate("a", 2, 1, 1), plain_gate("a", 2, 1, 1)}) ==
      "SpaceLayout: expected different gate names, got 'a' twice");
  CHECK(
      error({{"a", {"x", "x"}, 1, 1, {}}}) ==
      "SpaceLayout: expected different branch names in gate 'a', got 'x' "
      "twice");
  CHECK(
      error({plain_gate("a", 2, 1, 3)}) ==
      "SpaceLayout: expected 0 <= min_open <= max_open <= 2 and max_open >= 1 "
      "for gate 'a', got min_open=1 and max_open=3");
  CHECK(
      error({plain_gate("a", 0, 0, 0)}) ==
      "SpaceLayout: expected 0 <= min_open <= max_open <= 0 and max_open >= 1 "
      "for gate 'a', got min_open=0 and max_open=0");
  const auto place = GENERATE(
      gatedpaths::GatePlace{1, 0},
      gatedpaths::GatePlace{-1, 0},
      gatedpaths::GatePlace{0, 2},
      gatedpaths::GatePlace{0, -1});
  CHECK(
      error({plain_gate("a", 2, 1, 1), plain_gate("b", 2, 1, 1, {place})}) ==
      "SpaceLayout: expected gate 1 ('b') in a branch of an earlier gate, got "
      "branch " +
          std::to_string(place.branch) + " of gate " +
          std::to_string(place.gate));
}

TEST_CASE(
    "SpaceLayout: make_path checks each choice", "[space_layout][error]") {
  const SpaceLayout layout({plain_gate("a", 3, 1, 2)});
  const auto make = [&](const Set& choice) {
    layout.make_path([&](int64_t, Set& open) { open = choice; });
  };
  CHECK(
      message_of<c10::ValueError>([&] { make({}); }) ==
      "SpaceLayout::make_path: expected 1 to 2 open branches for gate 'a', got "
      "0 ()");
  CHECK(
      message_of<c10::ValueError>([&] { make({1, 0}); }) ==
      "SpaceLayout::make_path: expected ascending branches for gate 'a', got "
      "1, 0");
  CHECK(
      message_of<c10::ValueError>([&] { make({1, 1}); }) ==
      "SpaceLayout::make_path: expected ascending branches for gate 'a', got "
      "1, 1");
  CHECK(
      message_of<c10::IndexError>([&] { make({0, 3}); }) ==
      "SpaceLayout::make_path: expected branches in [0, 3) for gate 'a', got "
      "0, 3");
}

TEST_CASE(
    "SpaceLayout: the hash is the same for ever, and tells spaces apart",
    "[space_layout]") {
  const Gates gates{
      {"stem", {"conv3", "conv5"}, 1, 1, {}},
      {"cell", {"a", "b"}, 0, 2, {}},
      {"cell.a.op", {"x", "y"}, 1, 1, {{1, 0}}}};
  const SpaceLayout layout(gates);
  // Stored paths depend on this number; computed apart from this code.
  CHECK(layout.hash() == 0x48abedf453258615);
  CHECK(SpaceLayout(gates).hash() == layout.hash());
  CHECK(SpaceLayout(gates) == layout);

  std::set<uint64_t> hashes{layout.hash()};
  const auto changed = [&](auto change) {
    Gates other = gates;
    change(other);
    const SpaceLayout other_layout(other);
    CHECK_FALSE(other_layout == layout);
    CHECK(hashes.insert(other_layout.hash()).second);
  };
  changed([](Gates& g) { g[0].name = "root"; });
  changed([](Gates& g) { g[0].branch_names[1] = "conv7"; });
  changed([](Gates& g) { g[0].branch_names.emplace_back("c"); });
  changed([](Gates& g) { g[1].min_open = 1; });
  changed([](Gates& g) { g[1].max_open = 1; });
  changed([](Gates& g) { g[2].places[0].branch = 1; });
  changed([](Gates& g) { g[2].places[0].gate = 0; });
  changed([](Gates& g) { g[2].places.clear(); });
  changed([](Gates& g) { g.pop_back(); });
  changed([](Gates& g) { std::swap(g[0], g[1]), g[2].places[0].gate = 0; });
  changed([](Gates& g) { g.clear(); });
}
