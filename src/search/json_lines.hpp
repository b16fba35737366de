// SPDX-License-Identifier: MIT
// A file of JSON objects, one a line, that only grows. Not installed.
#pragma once

#include "../text/json_text.hpp"

#include <c10/util/FunctionRef.h>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace gatedpaths::detail {

/// To read: an ordered object copies its members as it grows, each with all
/// that is in it, which does not come back where that is nested deep enough.
using ParsedJson = nlohmann::json;

/// How the errors of such a file speak.
struct JsonLinesWords {
  std::string caller;  ///< Whose errors they are: "evaluate".
  std::string line;    ///< What a line is: "result".
};

/// A first line that says what the file is of, then objects, each on its way to
/// the disk when `append` returns.
class JsonLines {
 public:
  /// Throws: `c10::ValueError` where the head has a text that is not UTF-8.
  JsonLines(
      std::filesystem::path file,
      const OrderedJson& head,
      JsonLinesWords words);

  /// Gives each object after the head to `take`; none where there is no file.
  /// What `take` throws as a `c10::Error` or an exception of nlohmann-json
  /// becomes an error that names the line. A last line that was cut short is
  /// dropped with a warning.
  void read(c10::function_ref<void(const ParsedJson&)> take);

  /// Appends an object. `what` names it where it cannot be written as JSON.
  /// Where the disk is full, the file is left with its whole lines.
  void append(const OrderedJson& object, const std::string& what);

 private:
  void read_line(
      std::string_view line,
      int64_t number,
      c10::function_ref<void(const ParsedJson&)> take) const;
  void check_head(std::string_view line) const;
  void open();
  void write(const std::string& line);

  std::filesystem::path file_;
  JsonLinesWords words_;
  std::string head_;
  uint64_t whole_ = 0;  // bytes, of its whole lines
  std::ofstream stream_;
};

/// A number, or a text for one that JSON does not have: `"inf"`, `"nan"`.
OrderedJson json_number(double value);

/// The number again.
///
/// Throws: `c10::ValueError` for another text.
double number_of_json(const ParsedJson& number);

}  // namespace gatedpaths::detail
