// SPDX-License-Identifier: MIT
// What each net of NAS-Bench-201 reached after 12 epochs of training.
#pragma once

#include <c10/util/FunctionRef.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace nas_bench_201 {

/// The images that an accuracy is of. Those of `kCifar10Test` were classified
/// by nets trained on training and validation images, all others by nets
/// trained on the training images alone; `kCifar10Valid` has the mean of two
/// trainings.
enum class Images {
  kCifar10Valid,
  kCifar10Test,
  kCifar100Valid,
  kCifar100Test,
  kImageNet16Valid,  ///< ImageNet16-120
  kImageNet16Test,
};

/// How many of them there are.
inline constexpr std::size_t kImages = 6;

/// One net of the benchmark.
struct Record {
  std::string architecture{};
  std::array<double, kImages> accuracies{};  ///< By `Images`, in percent.

  /// In percent.
  double accuracy(Images images) const {
    return accuracies.at(static_cast<std::size_t>(images));
  }
};

/// All 15,625 of them, in the order of the paths of `layout()`.
class Table {
 public:
  /// Says which nets take part.
  using Takes = c10::function_ref<bool(const Record&)>;

  /// Reads the table: a line for each net, in order, with the digits of its
  /// operations and six accuracies in thousandths of a percent; lines that
  /// begin with `#` are not read.
  ///
  /// Throws: `c10::Error` where the file cannot be read; `c10::ValueError`,
  /// with the line, for a row of another form, an accuracy out of range, and a
  /// row that is missing, doubled or in another place.
  explicit Table(const std::filesystem::path& file);

  /// All nets.
  const std::vector<Record>& records() const& noexcept { return records_; }

  /// The net of this text.
  ///
  /// Throws: `c10::ValueError`, as `cell_of`, where it is none.
  const Record& at(std::string_view architecture) const&;

  /// The place of a net among those that take part, 1 for the one of the
  /// highest accuracy; nets of equal accuracy share the better place.
  std::int64_t rank(
      const Record& record, Images images, Takes takes = kAll) const;

  /// The net of the highest accuracy among those that take part; of equal ones
  /// the first.
  ///
  /// Throws: `c10::ValueError` where none does.
  const Record& best(Images images, Takes takes = kAll) const&;

 private:
  static constexpr auto kAll = [](const Record&) { return true; };

  std::vector<Record> records_;
};

}  // namespace nas_bench_201
