// SPDX-License-Identifier: MIT
// What NAS-Bench-Macro's authors measured and counted of each of its nets.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace nas_bench_macro {

/// One net of the benchmark.
struct Record {
  std::string architecture{};
  std::array<double, 3> accuracies{};  ///< On CIFAR-10's test set, in percent.
  std::int64_t parameters = 0;
  std::int64_t flops = 0;  ///< Multiply-accumulates of convolutions and linear.

  /// The mean over the three trainings, in percent.
  double accuracy() const {
    return (accuracies[0] + accuracies[1] + accuracies[2]) / 3;
  }
};

/// All 6,561 of them, in the order of their texts.
class Table {
 public:
  /// Reads the table: a line for each net, in order, with its text, the three
  /// accuracies in hundredths of a percent, parameters and FLOPs; lines from
  /// `#` on are not read.
  ///
  /// Throws: `c10::Error` where the file cannot be read; `c10::ValueError`,
  /// with the line, for a row of another form, one that is missing, doubled or
  /// in another place, or a value out of range.
  explicit Table(const std::filesystem::path& file);

  /// All nets.
  const std::vector<Record>& records() const& noexcept { return records_; }

  /// The net of this text.
  ///
  /// Throws: `c10::ValueError` where there is none.
  const Record& at(std::string_view architecture) const&;

  /// The place of a net among those with at most so many FLOPs, 1 for the one
  /// of the highest accuracy; nets of equal accuracy share the better place.
  std::int64_t rank(const Record& record, std::int64_t most_flops) const;

  /// The net of the highest accuracy with at most so many FLOPs; of equal ones
  /// the first.
  ///
  /// Throws: `c10::ValueError` where no net has so few.
  const Record& best(std::int64_t most_flops) const&;

 private:
  std::vector<Record> records_;
};

}  // namespace nas_bench_macro
