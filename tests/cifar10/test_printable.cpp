// SPDX-License-Identifier: MIT
#include "printable.hpp"

#include "support/catch.hpp"

namespace cifar10 {

TEST_CASE("printable: text stays as it is", "[cifar10]") {
  const auto* text = GENERATE(
      "", "automobile", "two\nlines", "~ \\x1b '\"", "Käfer", "猫", "🐸");
  CHECK(printable(text) == text);
}

TEST_CASE(
    "printable: control characters and what is no UTF-8 are written out",
    "[cifar10]") {
  CHECK(printable("\x1b]0;title\x07") == "\\x1b]0;title\\x07");
  CHECK(printable("a\rb\tc\x7f") == "a\\x0db\\x09c\\x7f");
  CHECK(printable(std::string_view("\0", 1)) == "\\x00");
  // U+009B begins an escape code as ESC [ does.
  CHECK(
      printable("\xc2\x9b"
                "2J") == "\\xc2\\x9b2J");
  CHECK(printable("\xc2\xa0") == "\xc2\xa0");
  CHECK(printable("\x9b") == "\\x9b");
  CHECK(printable("\xe7\x8c") == "\\xe7\\x8c");  // cut short
  CHECK(printable("\xc0\xaf") == "\\xc0\\xaf");  // longer than need be
  CHECK(printable("\xe0\x80\xaf") == "\\xe0\\x80\\xaf");
  CHECK(printable("\xed\xa0\x80") == "\\xed\\xa0\\x80");  // a surrogate
  CHECK(printable("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");
  CHECK(printable("\xf4\x8f\xbf\xbf") == "\xf4\x8f\xbf\xbf");
}

}  // namespace cifar10
