// SPDX-License-Identifier: MIT
#include "result_file.hpp"

#include "../text/error_text.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <cerrno>
#include <cmath>
#include <iterator>
#include <limits>
#include <system_error>
#include <utility>

namespace gatedpaths::detail {
namespace {

using ResultJson = nlohmann::ordered_json;

constexpr int kResultFileVersion = 1;

// JSON has no numbers for these.
ResultJson json_number(double value) {
  return std::isfinite(value) ? ResultJson(value)
                              : ResultJson(fmt::format("{}", value));
}

double number_of_json(const ResultJson& number) {
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

ResultJson head_json(const SpaceLayout& layout, const ResultFileHead& head) {
  return {
      {"gatedpaths_evaluation", kResultFileVersion},
      {"space", fmt::format("{:#018x}", layout.hash())},
      {"metric", head.metric},
      {"batches", head.batches},
      {"samples", head.samples}};
}

std::string system_reason(int error) {
  return std::generic_category().message(error);
}

}  // namespace

ResultFile::ResultFile(
    std::filesystem::path file, const SpaceLayout& layout, ResultFileHead head)
    : file_(std::move(file)), layout_(layout), head_(std::move(head)) {
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
          "evaluate: expected a file of results that can be read, got '{}': {}",
          file_.string(),
          is_file ? system_reason(errno) : "no regular file"));
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  TORCH_CHECK(
      !stream.bad(),
      "evaluate: expected to read '",
      file_.string(),
      "', which failed");
  read(text);
}

void ResultFile::read(std::string_view text) {
  whole_ = text.rfind('\n') + 1;  // 0 where there is none
  std::string_view rest = text.substr(0, whole_);
  for (int64_t number = 1; !rest.empty(); ++number) {
    const size_t end = rest.find('\n');
    read_line(rest.substr(0, end), number);
    rest.remove_prefix(end + 1);
  }
  if (whole_ < text.size()) {
    TORCH_WARN(fmt::format(
        "evaluate: '{}' ends in a line that was cut short, which is dropped: "
        "{}",
        file_.string(),
        text.substr(whole_, 80)));
  }
}

void ResultFile::read_line(std::string_view line, int64_t number) {
  if (number == 1) {
    check_head(line);
    return;
  }
  const auto refuse = [&](const std::exception& error) {
    TORCH_CHECK_VALUE(
        false,
        fmt::format(
            "evaluate: expected a result in line {} of '{}', got '{}': {}",
            number,
            file_.string(),
            line.substr(0, 80),
            error_text(error)));
  };
  try {
    const auto object = ResultJson::parse(line);
    std::vector<double> values;
    for (const auto& value : object.at("values")) {
      values.push_back(number_of_json(value));
    }
    TORCH_CHECK_VALUE(
        values.size() == head_.metric.size(),
        "expected ",
        head_.metric.size(),
        " values, got ",
        values.size());
    results_[layout_.parse(object.at("path").get<std::string>())] =
        std::move(values);
  } catch (const ResultJson::exception& error) {
    refuse(error);
  } catch (const c10::Error& error) {
    refuse(error);
  }
}

void ResultFile::check_head(std::string_view line) const {
  const auto expected = head_json(layout_, head_);
  const auto found = ResultJson::parse(line, nullptr, false);
  TORCH_CHECK_VALUE(
      found == expected,
      fmt::format(
          "evaluate: expected '{}' to hold results of {}, got {}; give another "
          "file",
          file_.string(),
          expected.dump(),
          line.substr(0, 400)));
}

const std::vector<double>* ResultFile::find(const Path& path) const {
  const auto found = results_.find(path);
  return found == results_.end() ? nullptr : &found->second;
}

void ResultFile::add(const Path& path, const std::vector<double>& values) {
  ResultJson object = {{"path", layout_.to_string(path)}};
  for (const double value : values) {
    object["values"].push_back(json_number(value));
  }
  std::string line;
  try {
    line = object.dump();
  } catch (const ResultJson::exception& error) {
    TORCH_CHECK_VALUE(
        false,
        "evaluate: expected names of gates and branches in UTF-8, got '",
        layout_.to_string(path),
        "': ",
        error.what());
  }
  if (!stream_.is_open()) {
    open();
  }
  write(line);
}

// Late, so that a call that is refused leaves the file as it is.
void ResultFile::open() {
  std::error_code error;
  if (std::filesystem::exists(file_, error) && !error) {
    std::filesystem::resize_file(file_, whole_, error);
  }
  errno = 0;
  stream_.open(file_, std::ios::binary | std::ios::app);
  TORCH_CHECK(
      stream_.is_open() && !error,
      fmt::format(
          "evaluate: expected a file of results that can be written, got '{}': "
          "{}",
          file_.string(),
          error ? error.message() : system_reason(errno)));
  if (whole_ == 0) {
    write(head_json(layout_, head_).dump());
  }
}

void ResultFile::write(const std::string& line) {
  errno = 0;
  stream_ << line << '\n' << std::flush;
  TORCH_CHECK(
      stream_.good(),
      fmt::format(
          "evaluate: expected to append a result to '{}', got: {}",
          file_.string(),
          system_reason(errno)));
}

}  // namespace gatedpaths::detail
