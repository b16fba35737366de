// SPDX-License-Identifier: MIT
#include "flag_checks.hpp"

#include "link_target.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <optional>
#include <regex>
#include <system_error>
#include <utility>

namespace cifar10 {
namespace {

namespace fs = std::filesystem;

template <typename Number>
struct Read {
  std::optional<Number> number{};
  bool too_large = false;
};

template <typename Number>
Read<Number> read_number(const std::string& text) {
  Number number{};
  const auto* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (stop != end) {
    return {};
  }
  if (error == std::errc()) {
    return {.number = number};
  }
  return {.too_large = error == std::errc::result_out_of_range};
}

}  // namespace

Check whole_number(std::uint64_t least, std::uint64_t most) {
  return [least, most](std::string& text) -> std::string {
    const auto read = read_number<std::uint64_t>(text);
    if (read.too_large || read.number > most) {
      return fmt::format(
          "expected a whole number of at most {}, got '{}'", most, text);
    }
    if (!read.number || *read.number < least) {
      return fmt::format(
          "expected a whole number of at least {}, got '{}'", least, text);
    }
    text = fmt::format("{}", *read.number);
    return "";
  };
}

Check number(std::string wanted, std::function<bool(double)> good) {
  return [wanted = std::move(wanted),
          good = std::move(good)](const std::string& text) -> std::string {
    const auto value = read_number<double>(text).number;
    return value && std::isfinite(*value) && good(*value)
               ? ""
               : fmt::format("expected a number {}, got '{}'", wanted, text);
  };
}

Check either(std::string a, std::string b) {
  return [a = std::move(a),
          b = std::move(b)](const std::string& text) -> std::string {
    return text == a || text == b
               ? ""
               : fmt::format("expected {} or {}, got '{}'", a, b, text);
  };
}

Check not_empty(std::string wanted) {
  return [wanted = std::move(wanted)](const std::string& text) -> std::string {
    return text.empty() ? fmt::format("expected {}, got ''", wanted) : "";
  };
}

std::string check_device(const std::string& text) {
  static const std::regex pattern("cpu|cuda(:[0-9]{1,2})?");
  return std::regex_match(text, pattern)
             ? ""
             : fmt::format(
                   "expected cpu, cuda or cuda:<index>, got '{}'", text);
}

bool is_same_file(const fs::path& a, const fs::path& b) {
  std::error_code error;
  return fs::equivalent(a, b, error) || link_target(a) == link_target(b);
}

}  // namespace cifar10
