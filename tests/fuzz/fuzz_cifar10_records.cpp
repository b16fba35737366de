// SPDX-License-Identifier: MIT
// CIFAR-10's records: an error, or every byte in its place.
#include "dataset.hpp"
#include "harnesses.hpp"
#include "promise.hpp"

#include <algorithm>
#include <optional>

namespace gatedpaths::fuzz {

void cifar10_records(Bytes bytes) {
  std::optional<cifar10::Images> images;
  if (is_refused<c10::ValueError>(
          "data: 'x'", [&] { images = cifar10::decode_records(bytes, "x"); })) {
    return;
  }
  const auto count = bytes.size() / cifar10::kRecordBytes;
  require(
      images->size() == static_cast<std::int64_t>(count) &&
          bytes.size() % cifar10::kRecordBytes == 0,
      "whole records");
  for (std::size_t i = 0; i < count; ++i) {
    const auto record = bytes.subspan(i * cifar10::kRecordBytes);
    const auto label =
        images->labels[static_cast<std::int64_t>(i)].item<std::int64_t>();
    require(0 <= label && label < 10 && label == record[0], "its label");
    const auto* pixels = images->pixels.const_data_ptr<std::uint8_t>() +
                         i * cifar10::kPixelBytes;
    require(
        std::equal(pixels, pixels + cifar10::kPixelBytes, record.begin() + 1),
        "its pixels");
  }
}

}  // namespace gatedpaths::fuzz
