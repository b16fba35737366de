// SPDX-License-Identifier: MIT
#include "json_lines.hpp"

#include "../text/error_text.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <cerrno>
#include <cmath>
#include <iterator>
#include <limits>
#include <system_error>
#include <utility>

namespace gatedpaths::detail {
namespace {

std::string system_reason(int error) {
  return std::generic_category().message(error);
}

}  // namespace

JsonLines::JsonLines(
    std::filesystem::path file, const OrderedJson& head, JsonLinesWords words)
    : file_(std::move(file)),
      words_(std::move(words)),
      head_(json_text(words_.caller, head)) {}

void JsonLines::read(c10::function_ref<void(const ParsedJson&)> take) {
  std::error_code error;
  if (!std::filesystem::exists(file_, error) && !error) {
    return;
  }
  // A folder opens, and throws when it is read.
  const bool is_file = std::filesystem::is_regular_file(file_, error);
  errno = 0;
  std::ifstream stream;
  if (is_file) {
    stream.open(file_, std::ios::binary);
  }
  TORCH_CHECK(
      stream.is_open(),
      fmt::format(
          "{}: expected a file of {}s that can be read, got '{}': {}",
          words_.caller,
          words_.line,
          file_.string(),
          is_file ? system_reason(errno) : "no regular file"));
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  TORCH_CHECK(
      !stream.bad(),
      words_.caller,
      ": expected to read '",
      file_.string(),
      "', which failed");

  whole_ = text.rfind('\n') + 1;  // 0 where there is none
  std::string_view rest = std::string_view(text).substr(0, whole_);
  for (int64_t number = 1; !rest.empty(); ++number) {
    const size_t end = rest.find('\n');
    read_line(rest.substr(0, end), number, take);
    rest.remove_prefix(end + 1);
  }
  if (whole_ < text.size()) {
    TORCH_WARN(fmt::format(
        "{}: '{}' ends in a line that was cut short, which is dropped: {}",
        words_.caller,
        file_.string(),
        text.substr(whole_, 80)));
  }
}

void JsonLines::read_line(
    std::string_view line,
    int64_t number,
    c10::function_ref<void(const ParsedJson&)> take) const {
  if (number == 1) {
    check_head(line);
    return;
  }
  const auto refuse = [&](const std::exception& error) {
    TORCH_CHECK_VALUE(
        false,
        fmt::format(
            "{}: expected a {} in line {} of '{}', got '{}': {}",
            words_.caller,
            words_.line,
            number,
            file_.string(),
            line.substr(0, 80),
            error_text(error)));
  };
  try {
    take(ParsedJson::parse(line));
  } catch (const ParsedJson::exception& error) {
    refuse(error);
  } catch (const c10::Error& error) {
    refuse(error);
  }
}

void JsonLines::check_head(std::string_view line) const {
  const auto found = ParsedJson::parse(line, nullptr, false);
  TORCH_CHECK_VALUE(
      found == ParsedJson::parse(head_),
      fmt::format(
          "{}: expected '{}' to hold {}s of {}, got {}; give another file",
          words_.caller,
          file_.string(),
          words_.line,
          head_,
          line.substr(0, 400)));
}

void JsonLines::append(const OrderedJson& object, const std::string& what) {
  std::string line;
  try {
    line = object.dump();
  } catch (const OrderedJson::exception& error) {
    TORCH_CHECK_VALUE(
        false,
        words_.caller,
        ": expected names of gates and branches in UTF-8, got '",
        what,
        "': ",
        error.what());
  }
  if (!stream_.is_open()) {
    open();
  }
  write(line);
}

// Late, so that a call that is refused leaves the file as it is.
void JsonLines::open() {
  std::error_code error;
  if (std::filesystem::exists(file_, error) && !error) {
    std::filesystem::resize_file(file_, whole_, error);
  }
  errno = 0;
  stream_.open(file_, std::ios::binary | std::ios::app);
  TORCH_CHECK(
      stream_.is_open() && !error,
      fmt::format(
          "{}: expected a file of {}s that can be written, got '{}': {}",
          words_.caller,
          words_.line,
          file_.string(),
          error ? error.message() : system_reason(errno)));
  if (whole_ == 0) {
    write(head_);
  }
}

void JsonLines::write(const std::string& line) {
  errno = 0;
  stream_ << line << '\n' << std::flush;
  if (stream_.good()) {
    whole_ += line.size() + 1;
    return;
  }
  const int reason = errno;
  // It writes what it still has once more, and nothing may follow a part.
  stream_.close();
  std::error_code ignored;
  std::filesystem::resize_file(file_, whole_, ignored);
  TORCH_CHECK(
      false,
      fmt::format(
          "{}: expected to append a {} to '{}', got: {}",
          words_.caller,
          words_.line,
          file_.string(),
          system_reason(reason)));
}

OrderedJson json_number(double value) {
  return std::isfinite(value) ? OrderedJson(value)
                              : OrderedJson(fmt::format("{}", value));
}

double number_of_json(const ParsedJson& number) {
  if (!number.is_string()) {
    return number.get<double>();
  }
  const auto text = number.get<std::string>();
  const double infinite = std::numeric_limits<double>::infinity();
  if (text == "inf" || text == "-inf") {
    return text == "inf" ? infinite : -infinite;
  }
  TORCH_CHECK_VALUE(
      text == "nan" || text == "-nan",
      "expected a number, \"inf\", \"-inf\" or \"nan\", got \"",
      text,
      "\"");
  return std::numeric_limits<double>::quiet_NaN();
}

}  // namespace gatedpaths::detail
