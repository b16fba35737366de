// SPDX-License-Identifier: MIT
// JSON into text and back, with errors as the library's own. Not installed.
#pragma once

#include <c10/util/Exception.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace gatedpaths::detail {

/// In the order in which it was made or read.
using OrderedJson = nlohmann::ordered_json;

/// No format of the library's nests as deep.
inline constexpr int kJsonDepth = 32;

/// The hash of a space, as it stands in files.
inline std::string hash_text(uint64_t hash) {
  return fmt::format("{:#018x}", hash);
}

/// The JSON as text, in one line where `indent` is negative.
inline std::string json_text(
    std::string_view where, const OrderedJson& json, int indent = -1) {
  try {
    return json.dump(indent);
  } catch (const OrderedJson::exception& error) {
    C10_THROW_ERROR(
        ValueError,
        fmt::format(
            "{}: expected names in UTF-8, got one with the error: {}",
            where,
            error.what()));
  }
}

/// What `read` makes of the text, whose object says of which format it is, and
/// where no object has two values of one name. `what` is what was expected, as
/// in "a table that to_json wrote".
template <class Read>
auto read_json(
    std::string_view where,
    std::string_view what,
    std::string_view format,
    std::string_view text,
    Read read) {
  try {
    std::vector<std::set<std::string>> names;  // of the objects around
    const auto json = OrderedJson::parse(
        text, [&](int depth, OrderedJson::parse_event_t event, auto& value) {
          using Event = OrderedJson::parse_event_t;
          TORCH_CHECK_VALUE(
              depth <= kJsonDepth,
              fmt::format(
                  "{}: expected {}, got one that is nested deeper than {}",
                  where,
                  what,
                  kJsonDepth));
          if (event == Event::object_start) {
            names.emplace_back();
          } else if (event == Event::object_end) {
            names.pop_back();
          } else if (event == Event::key) {
            const auto name = value.template get<std::string>();
            TORCH_CHECK_VALUE(
                names.back().insert(name).second,
                fmt::format(
                    "{}: expected {}, got one that has '{}' twice",
                    where,
                    what,
                    name));
          }
          return true;
        });
    const auto got = json.at("format").template get<std::string>();
    TORCH_CHECK_VALUE(
        got == format,
        fmt::format(
            "{}: expected the format '{}', got '{}'", where, format, got));
    return read(json);
  } catch (const OrderedJson::exception& error) {
    C10_THROW_ERROR(
        ValueError,
        fmt::format(
            "{}: expected {}, got one with the error: {}",
            where,
            what,
            error.what()));
  }
}

}  // namespace gatedpaths::detail
