// SPDX-License-Identifier: MIT
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/space_layout.hpp>

#include <unordered_set>

#include "support/catch.hpp"
#include "support/errors.hpp"

using gatedpaths::Path;
using gatedpaths::SpaceLayout;
using gatedpaths::test::message_of;

namespace {

using Set = std::vector<int64_t>;

// Branch a of "outer" holds "inner"; "last" stands beside.
std::vector<gatedpaths::GateLayout> nested_gates() {
  return {
      {"outer", {"a", "b"}, 0, 2, {}},
      {"inner", {"x", "y", "z"}, 1, 1, {{0, 0}}},
      {"last", {"p", "q"}, 1, 1, {}}};
}

}  // namespace

TEST_CASE("Path: holds the settings of the reached gates only", "[path]") {
  const SpaceLayout layout(nested_gates());
  const Path path = layout.parse("outer=a+b;inner=z;last=q");
  CHECK(path.space_hash() == layout.hash());
  CHECK(path.size() == 3);
  CHECK(path.gates() == Set{0, 1, 2});
  CHECK(path.open_branches(0) == Set{0, 1});
  CHECK(path.open_branches(1) == Set{2});
  CHECK(path.open_branches(2) == Set{1});

  const Path closed = layout.parse("outer=;last=p");
  CHECK(closed.gates() == Set{0, 2});
  CHECK(closed.open_branches(0).empty());
  CHECK(closed.reaches(2));
  CHECK_FALSE(closed.reaches(1));
  CHECK_FALSE(closed.reaches(-1));
  CHECK(
      message_of<c10::IndexError>([&] { closed.open_branches(1); }) ==
      "Path::open_branches: expected a gate that the path reaches (0, 2), got "
      "1");

  std::vector<std::pair<int64_t, Set>> settings;
  for (const auto& [gate, open] : closed) {
    settings.emplace_back(gate, open.vec());
  }
  const std::vector<std::pair<int64_t, Set>> expected{{0, {}}, {2, {0}}};
  CHECK((settings == expected));
}

TEST_CASE("Path: is a value", "[path]") {
  const SpaceLayout layout(nested_gates());
  const Path path = layout.parse("outer=a;inner=x;last=p");
  Path copy = path;
  CHECK(copy == path);
  CHECK(copy.hash() == path.hash());
  copy = layout.parse("outer=b;last=p");
  CHECK(copy != path);
  const Path moved = std::move(copy);
  CHECK(moved == layout.parse("last=p;outer=b"));

  const Path none;
  CHECK(none == Path());
  CHECK(none.size() == 0);
  CHECK(none.begin() == none.end());
  CHECK(none.space_hash() == 0);
  CHECK(none != SpaceLayout({}).at(0));
}

TEST_CASE("Path: hashes tell all paths of a space apart", "[path]") {
  const SpaceLayout layout(nested_gates());
  std::unordered_set<Path> paths;
  std::unordered_set<uint64_t> hashes;
  for (uint64_t i = 0; i < layout.size(); ++i) {
    paths.insert(layout.at(i));
    hashes.insert(layout.at(i).hash());
  }
  CHECK(paths.size() == layout.size());
  CHECK(hashes.size() == layout.size());
}

TEST_CASE("Path: equal settings of unlike spaces are unlike paths", "[path]") {
  const SpaceLayout one({{"gate", {"a", "b"}, 1, 1, {}}});
  const SpaceLayout other({{"gate", {"a", "c"}, 1, 1, {}}});
  CHECK(one.at(0) != other.at(0));
  CHECK(one.at(0).hash() != other.at(0).hash());
}
