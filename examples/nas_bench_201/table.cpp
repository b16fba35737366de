// SPDX-License-Identifier: MIT
#include "table.hpp"

#include "architecture.hpp"
#include "shown.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <fstream>
#include <iterator>
#include <sstream>

namespace nas_bench_201 {
namespace {

constexpr std::int64_t kNets = 15'625;  // 5 to the 6th
constexpr std::int64_t kBase = std::ssize(kOperations);
constexpr std::int64_t kMostThousandths = 100'000;

Cell cell_at(std::int64_t number) {
  Cell cell{};
  for (auto operation = cell.rbegin(); operation != cell.rend(); ++operation) {
    *operation = number % kBase;
    number /= kBase;
  }
  return cell;
}

std::string digits_of(const Cell& cell) {
  std::string digits;
  for (const auto operation : cell) {
    digits += static_cast<char>('0' + operation);
  }
  return digits;
}

Record record_of(
    const std::string& line, std::int64_t number, const std::string& file) {
  const auto cell = cell_at(number);
  Record record{.architecture = architecture(cell)};
  std::istringstream words(line);
  std::string digits;
  words >> digits;
  bool is_right = digits == digits_of(cell);
  for (auto& accuracy : record.accuracies) {
    std::int64_t thousandths = -1;
    words >> thousandths;
    is_right = is_right && 0 <= thousandths && thousandths <= kMostThousandths;
    accuracy = static_cast<double>(thousandths) / 1000;
  }
  is_right = is_right && !words.fail();
  std::string more;
  TORCH_CHECK_VALUE(
      is_right && !(words >> more),
      fmt::format(
          "nas_bench_201: expected net {} with {} accuracies in thousandths of "
          "a percent as row {} of {}, got {}",
          digits_of(cell),
          kImages,
          number,
          shown(file),
          shown(line)));
  return record;
}

}  // namespace

Table::Table(const std::filesystem::path& file) {
  std::ifstream stream(file);
  TORCH_CHECK(
      stream.is_open(),
      "nas_bench_201: expected a table that can be read, got ",
      shown(file.string()));
  std::string line;
  while (std::getline(stream, line)) {
    if (!line.starts_with('#')) {
      const auto number = std::ssize(records_);
      TORCH_CHECK_VALUE(
          number < kNets,
          fmt::format(
              "nas_bench_201: expected {} nets in {}, got also {}",
              kNets,
              shown(file.string()),
              shown(line)));
      records_.push_back(record_of(line, number, file.string()));
    }
  }
  TORCH_CHECK(
      !stream.bad(),
      "nas_bench_201: expected a table that can be read, got ",
      shown(file.string()));
  TORCH_CHECK_VALUE(
      std::ssize(records_) == kNets,
      fmt::format(
          "nas_bench_201: expected {} nets in {}, got {}",
          kNets,
          shown(file.string()),
          records_.size()));
}

const Record& Table::at(std::string_view architecture) const& {
  std::int64_t number = 0;
  for (const auto operation : cell_of(architecture)) {
    number = kBase * number + operation;
  }
  return records_[static_cast<std::size_t>(number)];
}

std::int64_t Table::rank(
    const Record& record, Images images, Takes takes) const {
  std::int64_t better = 0;
  for (const auto& other : records_) {
    if (other.accuracy(images) > record.accuracy(images) && takes(other)) {
      ++better;
    }
  }
  return better + 1;
}

const Record& Table::best(Images images, Takes takes) const& {
  const Record* best = nullptr;
  for (const auto& record : records_) {
    if ((best == nullptr || record.accuracy(images) > best->accuracy(images)) &&
        takes(record)) {
      best = &record;
    }
  }
  TORCH_CHECK_VALUE(
      best != nullptr,
      "nas_bench_201: expected a net that takes part, got none");
  return *best;
}

}  // namespace nas_bench_201
