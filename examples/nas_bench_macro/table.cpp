// SPDX-License-Identifier: MIT
#include "table.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <fstream>
#include <sstream>

namespace nas_bench_macro {
namespace {

constexpr std::int64_t kNets = 6561;  // 3 to the 8th
constexpr std::int64_t kDigits = 8;

std::string text_of(std::int64_t number) {
  std::string text(kDigits, '0');
  for (auto digit = text.rbegin(); digit != text.rend(); ++digit) {
    *digit = static_cast<char>('0' + number % 3);
    number /= 3;
  }
  return text;
}

Record record_of(
    const std::string& line, std::int64_t number, const std::string& file) {
  Record record{.architecture = text_of(number)};
  std::istringstream words(line);
  std::array<std::int64_t, 3> hundredths{};
  std::string text;
  words >> text >> hundredths[0] >> hundredths[1] >> hundredths[2] >>
      record.parameters >> record.flops;
  bool is_right = !words.fail() && text == record.architecture &&
                  record.parameters > 0 && record.flops > 0;
  for (std::size_t i = 0; i < hundredths.size(); ++i) {
    is_right = is_right && hundredths[i] >= 0 && hundredths[i] <= 10'000;
    record.accuracies[i] = static_cast<double>(hundredths[i]) / 100;
  }
  std::string more;
  TORCH_CHECK_VALUE(
      is_right && !(words >> more),
      fmt::format(
          "expected net {}, three accuracies in hundredths of a percent, "
          "parameters and FLOPs in '{}', got '{}'",
          record.architecture,
          file,
          line));
  return record;
}

}  // namespace

Table::Table(const std::filesystem::path& file) {
  std::ifstream stream(file);
  TORCH_CHECK(
      stream.is_open(),
      "expected a table that can be read, got '",
      file.string(),
      "'");
  std::string line;
  while (std::getline(stream, line)) {
    if (!line.starts_with('#')) {
      const auto number = static_cast<std::int64_t>(records_.size());
      TORCH_CHECK_VALUE(
          number < kNets,
          fmt::format(
              "expected {} nets in '{}', got more", kNets, file.string()));
      records_.push_back(record_of(line, number, file.string()));
    }
  }
  TORCH_CHECK_VALUE(
      static_cast<std::int64_t>(records_.size()) == kNets && !stream.bad(),
      fmt::format(
          "expected {} nets in '{}', got {}",
          kNets,
          file.string(),
          records_.size()));
}

const Record& Table::at(std::string_view architecture) const& {
  std::size_t number = 0;
  bool is_right = architecture.size() == kDigits;
  for (const char digit : architecture) {
    is_right = is_right && '0' <= digit && digit <= '2';
    number = is_right ? 3 * number + static_cast<std::size_t>(digit - '0') : 0;
  }
  TORCH_CHECK_VALUE(
      is_right,
      fmt::format(
          "expected an architecture of {} digits from 0 to 2, "
          "got '{}'",
          kDigits,
          architecture));
  return records_[number];
}

std::int64_t Table::rank(const Record& record, std::int64_t most_flops) const {
  std::int64_t better = 0;
  for (const auto& other : records_) {
    better += other.flops <= most_flops && other.accuracy() > record.accuracy()
                  ? 1
                  : 0;
  }
  return better + 1;
}

const Record& Table::best(std::int64_t most_flops) const& {
  const Record* best = nullptr;
  for (const auto& record : records_) {
    if (record.flops <= most_flops &&
        (best == nullptr || record.accuracy() > best->accuracy())) {
      best = &record;
    }
  }
  TORCH_CHECK_VALUE(
      best != nullptr,
      fmt::format(
          "expected a net within {} FLOPs, got none; the "
          "smallest has {}",
          most_flops,
          records_.front().flops));
  return *best;
}

}  // namespace nas_bench_macro
