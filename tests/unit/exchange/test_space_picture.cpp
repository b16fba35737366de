// SPDX-License-Identifier: MIT
// What is in the pictures; that they are XML, and that a browser and Graphviz
// take them, is seen elsewhere (parity.exchange, README.md).
#include <gatedpaths/exchange/space_picture.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <cmath>
#include <memory>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

namespace gatedpaths {
namespace {

using Layout = std::shared_ptr<const SpaceLayout>;

Layout picture_layout() {
  return std::make_shared<const SpaceLayout>(std::vector<GateLayout>{
      {.name = "stem", .branch_names = {"plain", "deep"}},
      {.name = "stem.deep.set",
       .branch_names = {"x", "y", "z"},
       .min_open = 0,
       .max_open = 2,
       .places = {{.gate = 0, .branch = 1}}},
      {.name = "head", .branch_names = {"wide", "thin"}}});
}

/// How often the text stands in the other.
int64_t count(std::string_view part, std::string_view text) {
  int64_t found = 0;
  for (size_t at = text.find(part); at != std::string_view::npos;
       at = text.find(part, at + 1)) {
    ++found;
  }
  return found;
}

/// The numbers of an attribute of the elements of a class, in order.
std::vector<double> attributes(
    const std::string& svg, const std::string& name, const std::string& type) {
  const std::regex pattern(
      "<rect [^>]*\\b" + name + "=\"([0-9.]+)\"[^>]*class=\"" + type + "\"");
  std::vector<double> values;
  for (std::sregex_iterator at(svg.begin(), svg.end(), pattern), end; at != end;
       ++at) {
    values.push_back(std::stod((*at)[1]));
  }
  return values;
}

}  // namespace

TEST_CASE("space_svg: a row for each gate, a box for each branch") {
  const auto svg = space_svg(picture_layout());
  CHECK(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
  CHECK(svg.ends_with("</svg>\n"));
  CHECK(count(">3 gates, 16 paths</text>", svg) == 1);
  CHECK(count(" class=\"box\"/>", svg) == 7);
  CHECK(count(" class=\"open\"/>", svg) == 0);
  CHECK(count("class=\"pale\"", svg) == 0);
  for (const auto* text :
       {">stem</text>",
        ">plain</text>",
        ">deep</text>",
        ">stem.deep.set</text>",
        ">0 to 2 of 3, in deep</text>",
        ">head</text>"}) {
    CHECK(count(text, svg) == 1);
  }
  CHECK(count(">1 of 2</text>", svg) == 2);
  CHECK(count("<path class=\"tree\"", svg) == 1);
  CHECK(space_svg(picture_layout()) == svg);
}

TEST_CASE("space_svg: a path's open branches, and gates that it leaves out") {
  const auto layout = picture_layout();
  const auto svg = [&](const char* text) {
    return space_svg(layout, SpacePictureOptions().path(layout->parse(text)));
  };
  // One more of each kind explains them.
  const auto all = svg("stem=deep;stem.deep.set=x+z;head=thin");
  CHECK(count(" class=\"open\"/>", all) == 1 + 4);
  CHECK(count(" class=\"box\"/>", all) == 1 + 3);
  CHECK(count("class=\"pale\"", all) == 0);
  CHECK(count("class=\"in-open\">deep</text>", all) == 1);
  CHECK(count("class=\"in-open\">plain</text>", all) == 0);
  const auto less = svg("stem=plain;head=wide");
  CHECK(count(" class=\"open\"/>", less) == 1 + 2);
  CHECK(count("class=\"pale\"", less) == 1);
}

TEST_CASE("space_svg: notes and bars in proportion") {
  const auto svg = space_svg(
      picture_layout(),
      SpacePictureOptions()
          .title("a <title>")
          .notes([](int64_t gate, int64_t branch) {
            return BranchNote{
                .text = std::to_string(gate) + "/" + std::to_string(branch),
                .weight = gate == 1 ? static_cast<double>(branch) : 0.0};
          }));
  CHECK(count(">a &lt;title&gt;</text>", svg) == 1);
  CHECK(count(">1/2</text>", svg) == 1);
  const auto bars = attributes(svg, "width", "bar");
  const auto boxes = attributes(svg, "width", "box");
  REQUIRE(bars.size() == 2);  // none for 0
  CHECK(std::abs(bars[1] - (boxes[2] - 2)) < 0.06);
  CHECK(std::abs(bars[0] - (boxes[2] - 2) / 2) < 0.06);
}

TEST_CASE("space_svg: what is long wraps, and nothing is cut") {
  std::vector<std::string> names;
  for (int i = 0; i < 64; ++i) {
    names.push_back("branch" + std::to_string(i));
  }
  const std::string long_name(150, 'n');
  const auto layout =
      std::make_shared<const SpaceLayout>(std::vector<GateLayout>{
          {.name = "many", .branch_names = names},
          {.name = long_name, .branch_names = {"a", long_name + "b"}}});
  const auto svg = space_svg(layout);
  CHECK(count(">" + long_name + "</text>", svg) == 1);
  CHECK(count(">" + long_name + "b</text>", svg) == 1);
  const double width = std::stod(svg.substr(svg.find("width=\"") + 7));
  const auto x = attributes(svg, "x", "box");
  const auto y = attributes(svg, "y", "box");
  const auto widths = attributes(svg, "width", "box");
  REQUIRE(x.size() == 66);
  for (size_t i = 0; i < x.size(); ++i) {
    CHECK(x[i] + widths[i] <= width);
    for (size_t j = 0; j < i; ++j) {
      CHECK((y[i] > y[j] + 20 || x[i] > x[j] + widths[j]));  // no overlap
    }
  }
}

TEST_CASE("space_svg, space_dot: names of any kind are text") {
  const auto layout =
      std::make_shared<const SpaceLayout>(std::vector<GateLayout>{
          {.name = "a&b<c>\"d\"",
           .branch_names = {"\x1b[0m", "\xc3\xa9\xef\xbf\xbf", "]]>"}}});
  for (const auto& text : {space_svg(layout), space_dot(layout)}) {
    CHECK(count("a&amp;b&lt;c&gt;&quot;d&quot;", text) == 1);
    CHECK(count("\\x1b[0m", text) == 1);
    CHECK(count("\xc3\xa9\\uffff", text) == 1);
    CHECK(count("]]&gt;", text) == 1);
    CHECK(count("\x1b", text) == 0);
  }
}

TEST_CASE("space_svg: how many paths there are, where that is known") {
  std::vector<GateLayout> gates;
  for (int i = 0; i < 40; ++i) {
    gates.push_back(
        {.name = std::to_string(i), .branch_names = {"a", "b", "c", "d", "e"}});
  }
  CHECK(
      count(
          ">40 gates, 10^28.0 paths</text>",
          space_svg(std::make_shared<const SpaceLayout>(gates))) == 1);
  gates.resize(1);
  gates.push_back(
      {.name = "shared",
       .branch_names = {"a"},
       .places = {{.gate = 0, .branch = 0}, {.gate = 0, .branch = 1}}});
  const auto shared = space_svg(std::make_shared<const SpaceLayout>(gates));
  CHECK(count(">2 gates</text>", shared) == 1);
  CHECK(count(">1 of 1, in a, b</text>", shared) == 1);
  CHECK(
      count(
          ">0 gates, 1 path</text>",
          space_svg(std::make_shared<const SpaceLayout>(
              std::vector<GateLayout>{}))) == 1);
}

TEST_CASE("space_dot: a node for each gate, an arrow into what is inside") {
  const auto layout = picture_layout();
  const auto dot = space_dot(
      layout,
      SpacePictureOptions()
          .path(layout->parse("stem=plain;head=thin"))
          .notes([](int64_t, int64_t) { return BranchNote{.text = "1 k"}; }));
  CHECK(dot.starts_with("digraph space {\n"));
  CHECK(dot.ends_with("}\n"));
  CHECK(count("  g0:b1 -> g1;\n", dot) == 1);
  CHECK(count("{ rank=same; edge [style=invis]; g0 -> g2; }", dot) == 1);
  CHECK(count(" -> ", dot) == 2);
  CHECK(count("label=<<TABLE", dot) == 3);
  CHECK(count("BGCOLOR=\"#17629f\"", dot) == 2);
  CHECK(count("<BR/><FONT POINT-SIZE=\"8\">1 k</FONT>", dot) == 7);
  CHECK(count("g1 [fontcolor=", dot) == 1);  // not reached
}

TEST_CASE("space_svg, space_dot: bad input", "[error]") {
  const auto layout = picture_layout();
  const auto other = std::make_shared<const SpaceLayout>(
      std::vector<GateLayout>{{.name = "g", .branch_names = {"a"}}});
  CHECK(test::message_of<c10::ValueError>([] {
          space_svg(nullptr);
        }) == "space_svg: expected a space, got a null pointer");
  const auto message = test::message_of<c10::ValueError>(
      [&] { space_dot(layout, SpacePictureOptions().path(other->at(0))); });
  CHECK(message.starts_with("space_dot: expected a path of space 0x"));
  for (const double weight : {-1.0, std::nan("")}) {
    CHECK(
        test::message_of<c10::ValueError>([&] {
          space_svg(layout, SpacePictureOptions().notes([&](int64_t, int64_t) {
            return BranchNote{.weight = weight};
          }));
        }) ==
        "space_svg: expected notes with finite weights of at least 0, got " +
            std::string(weight < 0 ? "-1" : "nan") +
            " for branch 'plain' of gate 'stem'");
  }
  CHECK(test::message_of<c10::ValueError>([&] {
          space_svg(layout, SpacePictureOptions().title("\xff"));
        }).starts_with("space_svg: expected names in UTF-8"));
}

}  // namespace gatedpaths
