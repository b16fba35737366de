// SPDX-License-Identifier: MIT
// Reads the texts of small values, such as `family-1:name(key=0.5)`. Not
// installed.
#pragma once

#include <gatedpaths/export.hpp>

#include <cstdint>
#include <string_view>

namespace gatedpaths::detail {

/// Goes through a text from left to right. What does not fit is an error
/// (`c10::ValueError`) in the name of `method`, with what stands there instead
/// and the whole text.
class GATEDPATHS_EXPORT TextReader {
 public:
  TextReader(std::string_view method, std::string_view text);

  /// `family-version:`.
  void version(std::string_view family, int64_t version);

  /// Takes `word` where it is next.
  bool skip(std::string_view word);

  /// Takes `word`, which has to be next.
  void expect(std::string_view word);

  /// `key=`, and a finite number.
  double number(std::string_view key);

  /// `key=`, and a whole number.
  int64_t count(std::string_view key);

  /// The text has to be at its end.
  void end() const;

  /// Throws the error that `expected` should be next.
  [[noreturn]] void fail(std::string_view expected) const;

 private:
  template <class Number>
  Number take(std::string_view expected);

  std::string_view method_;
  std::string_view text_;
  std::string_view rest_;
};

}  // namespace gatedpaths::detail
