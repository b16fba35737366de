// SPDX-License-Identifier: MIT
#include "src/text/text_reader.hpp"

#include <string>

#include "support/catch.hpp"
#include "support/errors.hpp"

using gatedpaths::detail::TextReader;
using gatedpaths::test::message_of;

TEST_CASE("TextReader: reads a text from left to right", "[text_reader]") {
  TextReader reader("f", "rates-1:linear(first=-0.5,layers=12)");
  reader.version("rates", 1);
  CHECK_FALSE(reader.skip("cosine"));
  CHECK(reader.skip("linear"));
  reader.expect("(");
  CHECK(reader.number("first") == -0.5);
  reader.expect(",");
  CHECK(reader.count("layers") == 12);
  reader.expect(")");
  reader.end();
}

TEST_CASE(
    "TextReader: says what stands where something else is expected",
    "[text_reader][error]") {
  const auto message = [](const std::string& text, auto read) {
    return message_of<c10::ValueError>([&] {
      TextReader reader("f", text);
      read(reader);
    });
  };
  CHECK(message("a-2:b", [](auto& reader) {
          reader.version("a", 1);
        }) == "f: expected version 1 of 'a', got version 2 in 'a-2:b'");
  CHECK(message("a-x:b", [](auto& reader) {
          reader.version("a", 1);
        }) == "f: expected a version, got 'x:b' in 'a-x:b'");
  CHECK(message("b", [](auto& reader) {
          reader.expect("a");
        }) == "f: expected 'a', got 'b' in 'b'");
  for (const std::string number : {"inf", "nan", "", "x", "1e999"}) {
    CHECK(
        message("n=" + number, [](auto& reader) { reader.number("n"); }) ==
        "f: expected a finite number, got '" + number + "' in 'n=" + number +
            "'");
  }
  CHECK(
      message("n=99999999999999999999", [](auto& r) { r.count("n"); }) ==
      "f: expected a whole number, got '99999999999999999999' in "
      "'n=99999999999999999999'");
  CHECK(message("ab", [](auto& reader) {
          reader.expect("a");
          reader.end();
        }) == "f: expected the end, got 'b' in 'ab'");
}
