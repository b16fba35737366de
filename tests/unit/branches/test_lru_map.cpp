// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/lru_map.hpp>

#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using gatedpaths::detail::LruMap;

namespace {

using Map = LruMap<std::string, int>;

std::vector<std::string> keys_of(const Map& map) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : map) {
    keys.push_back(key);
  }
  return keys;
}

}  // namespace

TEST_CASE(
    "LruMap: what was not asked for the longest makes room", "[branches]") {
  Map map(3);
  CHECK(map.find("a") == nullptr);
  map.put("a", 1);
  map.put("b", 2);
  map.put("c", 3);
  REQUIRE(map.find("a") != nullptr);
  int* a = map.find("a");
  map.put("d", 4);
  CHECK(keys_of(map) == std::vector<std::string>{"d", "a", "c"});
  CHECK(map.find("b") == nullptr);
  CHECK(map.find("a") == a);
  CHECK(*a == 1);

  CHECK(map.put("a", 5) == 5);
  CHECK(map.size() == 3);
  CHECK(map.find("a") == a);
  map.clear();
  CHECK(map.size() == 0);
  CHECK(map.find("a") == nullptr);
  map.put("a", 6);
  CHECK(*map.find("a") == 6);
}

TEST_CASE("LruMap: a copy is empty, what is moved is not", "[branches]") {
  Map map(2);
  map.put("a", 1);
  map.put("b", 2);
  Map copy = map;
  CHECK(copy.size() == 0);
  copy.put("c", 3);
  CHECK(map.size() == 2);
  CHECK(copy.find("a") == nullptr);

  Map moved = std::move(map);
  CHECK(keys_of(moved) == std::vector<std::string>{"b", "a"});
  moved.put("c", 3);
  CHECK(keys_of(moved) == std::vector<std::string>{"c", "b"});
  copy = moved;
  CHECK(copy.size() == 0);
}
