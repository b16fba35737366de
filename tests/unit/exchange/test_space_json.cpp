// SPDX-License-Identifier: MIT
#include <gatedpaths/exchange/space_json.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <nlohmann/json.hpp>

#include <memory>
#include <string>
#include <vector>

namespace gatedpaths {
namespace {

using Json = nlohmann::ordered_json;
using Layout = std::shared_ptr<const SpaceLayout>;

/// A choice, inside of its branch "b" a set, and a choice in two places.
Layout nested_layout() {
  return std::make_shared<const SpaceLayout>(std::vector<GateLayout>{
      {.name = "stem", .branch_names = {"a", "b"}},
      {.name = "stem.b.set",
       .branch_names = {"x", "y;=+\\", "z"},
       .min_open = 0,
       .max_open = 2,
       .places = {{.gate = 0, .branch = 1}}},
      {.name = "shared \"\xc3\xa9\"",
       .branch_names = {"0", "1"},
       .places = {{.gate = 0, .branch = 0}, {.gate = 1, .branch = 2}}}});
}

Layout plain_layout() {
  return std::make_shared<const SpaceLayout>(std::vector<GateLayout>{
      {.name = "one", .branch_names = {"a", "b", "c"}},
      {.name = "two",
       .branch_names = {"a", "b"},
       .min_open = 1,
       .max_open = 2}});
}

}  // namespace

TEST_CASE("space_to_json: names, bounds and nesting, and back") {
  const auto layout = nested_layout();
  const auto json = Json::parse(space_to_json(layout));
  CHECK(json.at("format") == "gatedpaths space 1");
  CHECK(json.at("hash").get<std::string>().substr(0, 2) == "0x");
  CHECK(json.at("hash").get<std::string>().size() == 18);
  CHECK(json.at("size").is_null());  // a gate has two places
  const auto& gates = json.at("gates");
  REQUIRE(gates.size() == 3);
  CHECK(
      gates[1] ==
      Json{
          {"name", "stem.b.set"},
          {"branches", {"x", "y;=+\\", "z"}},
          {"min_open", 0},
          {"max_open", 2},
          {"inside", Json::array({{{"gate", "stem"}, {"branch", "b"}}})}});
  CHECK(gates[2].at("inside").size() == 2);

  const auto back = space_from_json(space_to_json(layout));
  CHECK(*back == *layout);
  CHECK(back->hash() == layout->hash());
  CHECK(
      Json::parse(space_to_json(plain_layout())).at("size") ==
      plain_layout()->size());
}

TEST_CASE("space_to_json: spaces of any size") {
  std::vector<GateLayout> gates;
  for (int i = 0; i < 64; ++i) {
    gates.push_back({.name = std::to_string(i), .branch_names = {"a", "b"}});
  }
  const auto too_large = std::make_shared<const SpaceLayout>(gates);
  CHECK(Json::parse(space_to_json(too_large)).at("size").is_null());
  CHECK(*space_from_json(space_to_json(too_large)) == *too_large);
  gates.pop_back();
  const auto large = std::make_shared<const SpaceLayout>(gates);
  CHECK(
      Json::parse(space_to_json(large)).at("size").get<uint64_t>() ==
      uint64_t{1} << 63U);
  const auto empty =
      std::make_shared<const SpaceLayout>(std::vector<GateLayout>{});
  CHECK(*space_from_json(space_to_json(empty)) == *empty);
}

TEST_CASE("space_from_json: what another tool makes of a space") {
  const auto layout = space_from_json(R"({
    "gates": [{"inside": [], "max_open": 1, "min_open": 1,
               "branches": ["a", "b"], "name": "g"}],
    "format": "gatedpaths space 1", "and": "more"})");
  CHECK(layout->size() == 2);
  CHECK(layout->gate(0).name == "g");
}

TEST_CASE("space_from_json: bad texts", "[error]") {
  const auto json = Json::parse(space_to_json(plain_layout()));
  const auto refused = [&](const auto& change) {
    auto changed = json;
    change(changed);
    return test::message_of<c10::ValueError>(
        [&] { static_cast<void>(space_from_json(changed.dump())); });
  };
  CHECK(
      refused([](Json& j) { j["format"] = "gatedpaths cost 1"; }) ==
      "space_from_json: expected the format 'gatedpaths space 1', got "
      "'gatedpaths cost 1'");
  CHECK(
      refused([](Json& j) { j["hash"] = "0x12"; }) ==
      "space_from_json: expected the hash " + json.at("hash").dump() +
          " of these gates, got \"0x12\"");
  CHECK(refused([](Json& j) {
          j["size"] = 10;
        }) == "space_from_json: expected the size 9 of these gates, got 10");
  CHECK(
      refused([](Json& j) { j["gates"][0]["min_open"] = 1.5; }) ==
      "space_from_json: expected a whole number as min_open of gate 'one', got "
      "1.5");
  CHECK(
      refused(
          [](Json& j) { j["gates"][0]["max_open"] = uint64_t{1} << 63U; }) ==
      "space_from_json: expected a whole number as max_open of gate 'one', got "
      "9223372036854775808");
  CHECK(refused([](Json& j) {
          j["gates"][0]["inside"] = Json::array({{{"gate", "two"}}});
        }).find("key 'branch' not found") != std::string::npos);
  const auto inside = [](const char* gate, const char* branch) {
    return Json::array({{{"gate", gate}, {"branch", branch}}});
  };
  CHECK(
      refused([&](Json& j) { j["gates"][0]["inside"] = inside("two", "a"); }) ==
      "space_from_json: expected a gate to be inside of an earlier one, got "
      "'two'");
  CHECK(refused([&](Json& j) {
          j["gates"][1]["inside"] = inside("one", "d");
        }) == "space_from_json: expected a branch of gate 'one', got 'd'");
  CHECK(refused([](Json& j) {
          j["gates"][1]["max_open"] = 3;
        }).find("SpaceLayout: expected 0 <= min_open") == 0);
  CHECK(
      refused([](Json& j) { j.erase("gates"); })
          .find("space_from_json: expected a space that space_to_json wrote, "
                "got one with the error: ") == 0);
  const auto refused_text = [](const std::string& text) {
    return test::message_of<c10::ValueError>(
        [&] { static_cast<void>(space_from_json(text)); });
  };
  const std::string start =
      "space_from_json: expected a space that space_to_json wrote, got one ";
  CHECK(refused_text("").find(start + "with the error: ") == 0);
  CHECK(refused_text("[]").find(start + "with the error: ") == 0);
  CHECK(
      refused_text(std::string(100'000, '[')) ==
      start + "that is nested deeper than 32");
  CHECK(
      refused_text(R"({"format": "gatedpaths space 1", "format": "x"})") ==
      start + "that has 'format' twice");
  CHECK(test::message_of<c10::ValueError>([] {
          space_to_json(nullptr);
        }) == "space_to_json: expected a space, got a null pointer");
}

TEST_CASE("path_to_json: by text and by names, and back") {
  const auto layout = nested_layout();
  const auto path =
      layout->parse("stem=b;stem.b.set=x+z;shared \"\xc3\xa9\"=1");
  const auto json = Json::parse(path_to_json(layout, path));
  CHECK(json.at("format") == "gatedpaths path 1");
  CHECK(json.at("space") == Json::parse(space_to_json(layout)).at("hash"));
  CHECK(json.at("path") == layout->to_string(path));
  CHECK(
      json.at("open") == Json{
                             {"stem", {"b"}},
                             {"stem.b.set", {"x", "z"}},
                             {"shared \"\xc3\xa9\"", {"1"}}});
  CHECK(path_from_json(layout, path_to_json(layout, path)) == path);

  for (const auto* text :
       {"stem=b;stem.b.set=", "stem=b;stem.b.set=y\\;\\=\\+\\\\"}) {
    const auto other = layout->parse(text);
    CHECK(path_from_json(layout, path_to_json(layout, other)) == other);
    for (const auto* left_out : {"path", "open", "space"}) {
      auto part = Json::parse(path_to_json(layout, other));
      part.erase(left_out);
      CHECK(path_from_json(layout, part.dump()) == other);
    }
  }
}

TEST_CASE("path_from_json: bad texts", "[error]") {
  const auto layout = plain_layout();
  const auto hash =
      Json::parse(space_to_json(layout)).at("hash").get<std::string>();
  const auto json =
      Json::parse(path_to_json(layout, layout->parse("one=b;two=a+b")));
  const auto refused = [&](const auto& change) {
    auto changed = json;
    change(changed);
    return test::message_of<c10::Error>(
        [&] { static_cast<void>(path_from_json(layout, changed.dump())); });
  };
  CHECK(
      refused([](Json& j) { j["space"] = "0x1"; }) ==
      "path_from_json: expected a path of space " + hash +
          ", got one of space \"0x1\"");
  CHECK(
      refused([](Json& j) { j["path"] = "one=a;two=a+b"; }) ==
      "path_from_json: expected 'path' and 'open' to say the same, got "
      "'one=a;two=a+b' and 'one=b;two=a+b'");
  CHECK(
      refused([](Json& j) { j["open"].erase("two"); }) ==
      "path_from_json: expected the open branches of gate 'two', which is "
      "reached, got none");
  CHECK(refused([](Json& j) {
          j["open"]["one"] = {"d"};
        }) == "path_from_json: expected a branch of gate 'one', got 'd'");
  CHECK(
      refused([](Json& j) {
        j["open"]["three"] = {"a"};
      }).find("expected one of the gates ('one', 'two'), got 'three'") !=
      std::string::npos);
  CHECK(
      refused([](Json& j) {
        j["open"]["two"] = {"a", "a"};
      }).find("expected ascending branches for gate 'two', got 0, 0") !=
      std::string::npos);
  CHECK(refused([](Json& j) {
          j["open"]["one"] = Json::array();
        }).find("gate 'one'") != std::string::npos);
  CHECK(
      refused([](Json& j) {
        j.erase("open");
        j.erase("path");
      })
          .find("path_from_json: expected a path that path_to_json wrote, got "
                "one with the error: ") == 0);
  const auto nested = nested_layout();
  auto unreached =
      Json::parse(path_to_json(nested, nested->parse("stem=b;stem.b.set=x")));
  unreached.erase("path");
  unreached["open"]["shared \"\xc3\xa9\""] = {"0"};
  CHECK(
      test::message_of<c10::ValueError>([&] {
        static_cast<void>(path_from_json(nested, unreached.dump()));
      }) ==
      "path_from_json: expected the 2 gates that 'stem=b;stem.b.set=x' "
      "reaches, got 3");
  CHECK(
      test::message_of<c10::ValueError>([&] {
        static_cast<void>(path_to_json(layout, Path()));
      }) == "path_to_json: expected a path of space " + hash +
                ", got one of space 0x0000000000000000");
}

TEST_CASE("space_to_json, path_to_json: a name that is no UTF-8", "[error]") {
  const auto layout = std::make_shared<const SpaceLayout>(
      std::vector<GateLayout>{{.name = "\xff", .branch_names = {"a", "b"}}});
  CHECK(
      test::message_of<c10::ValueError>([&] { space_to_json(layout); })
          .find("space_to_json: expected names in UTF-8, got one with the "
                "error: ") == 0);
  CHECK(test::message_of<c10::ValueError>([&] {
          path_to_json(layout, layout->at(0));
        }).find("path_to_json: expected names in UTF-8") == 0);
}

}  // namespace gatedpaths
