// SPDX-License-Identifier: MIT
// CIFAR-10 in its official binary layout: six files of 10,000 records, each one
// label byte and 3,072 pixel bytes (1,024 red, 1,024 green, 1,024 blue).
#pragma once

#include <torch/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cifar10 {

inline constexpr std::int64_t kChannels = 3;
inline constexpr std::int64_t kSide = 32;
inline constexpr std::size_t kPixelBytes = 3072;
inline constexpr std::size_t kRecordBytes = 1 + kPixelBytes;
inline constexpr std::size_t kRecordsPerFile = 10000;
inline constexpr std::size_t kClasses = 10;
inline constexpr std::size_t kTrainFiles = 5;

using ClassNames = std::array<std::string, kClasses>;

struct Images {
  torch::Tensor pixels;  // uint8 [N, 3, 32, 32]
  torch::Tensor labels;  // int64 [N]

  std::int64_t size() const { return labels.size(0); }
};

struct Dataset {
  Images train;
  Images test;
  ClassNames class_names;   // safe to show on a terminal
  std::string description;  // a few words: what it is and where it is from
  bool is_stand_in = false;
};

/// The names of CIFAR-10's classes, in the order of their labels.
ClassNames official_class_names();

/// Ten names, one a line, as `batches.meta.txt` has them; the official ones
/// where there are fewer: they only label a table.
ClassNames read_class_names(std::istream& stream);

/// Splits records into pixels and labels, and checks every label. `name` stands
/// for the bytes in the messages.
Images decode_records(
    std::span<const std::uint8_t> bytes, std::string_view name);

/// Finds the six files in `folder` or `folder/cifar-10-batches-bin`, checks
/// their lengths and labels, and reads them.
Dataset read_dataset(const std::filesystem::path& folder);

/// Keeps the first `count` images; 0 keeps all.
void keep_first(Images& images, std::int64_t count);

}  // namespace cifar10
