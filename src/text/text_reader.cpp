// SPDX-License-Identifier: MIT
#include "text_reader.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <system_error>

namespace gatedpaths::detail {

TextReader::TextReader(std::string_view method, std::string_view text)
    : method_(method), text_(text), rest_(text) {}

void TextReader::version(std::string_view family, int64_t version) {
  expect(fmt::format("{}-", family));
  const auto given = take<int64_t>("a version");
  TORCH_CHECK_VALUE(
      given == version,
      fmt::format(
          "{}: expected version {} of '{}', got version {} in '{}'",
          method_,
          version,
          family,
          given,
          text_));
  expect(":");
}

bool TextReader::skip(std::string_view word) {
  if (!rest_.starts_with(word)) {
    return false;
  }
  rest_.remove_prefix(word.size());
  return true;
}

void TextReader::expect(std::string_view word) {
  if (!skip(word)) {
    fail(fmt::format("'{}'", word));
  }
}

double TextReader::number(std::string_view key) {
  expect(fmt::format("{}=", key));
  constexpr std::string_view kExpected = "a finite number";
  const std::string_view before = rest_;
  const auto value = take<double>(kExpected);
  if (!std::isfinite(value)) {
    rest_ = before;
    fail(kExpected);
  }
  return value;
}

int64_t TextReader::count(std::string_view key) {
  expect(fmt::format("{}=", key));
  return take<int64_t>("a whole number");
}

void TextReader::end() const {
  if (!rest_.empty()) {
    fail("the end");
  }
}

void TextReader::fail(std::string_view expected) const {
  C10_THROW_ERROR(
      ValueError,
      fmt::format(
          "{}: expected {}, got '{}' in '{}'",
          method_,
          expected,
          rest_,
          text_));
}

template <class Number>
Number TextReader::take(std::string_view expected) {
  Number value = 0;
  const char* end = rest_.data() + rest_.size();
  const auto [stop, error] = std::from_chars(rest_.data(), end, value);
  if (error != std::errc()) {
    fail(expected);
  }
  rest_.remove_prefix(static_cast<size_t>(stop - rest_.data()));
  return value;
}

}  // namespace gatedpaths::detail
