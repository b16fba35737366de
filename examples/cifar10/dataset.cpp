// SPDX-License-Identifier: MIT
#include "dataset.hpp"

#include "printable.hpp"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <istream>
#include <system_error>

namespace cifar10 {
namespace {

namespace fs = std::filesystem;

constexpr auto kFileBytes = kRecordsPerFile * kRecordBytes;
constexpr auto kFolderName = "cifar-10-batches-bin";
constexpr auto kTestFile = "test_batch.bin";

std::string train_file(std::size_t index) {
  return fmt::format("data_batch_{}.bin", index + 1);
}

fs::path find_folder(const fs::path& folder) {
  TORCH_CHECK_VALUE(
      fs::is_directory(folder),
      "data: expected a folder with the CIFAR-10 binary files, got '",
      folder.string(),
      fs::exists(folder) ? "', which is a file" : "', which does not exist");
  for (const auto& candidate : {folder, folder / kFolderName}) {
    if (fs::exists(candidate / train_file(0)) ||
        fs::exists(candidate / kTestFile)) {
      return candidate;
    }
  }
  TORCH_CHECK_VALUE(
      false,
      "data: expected ",
      train_file(0),
      " in '",
      folder.string(),
      "' or its subfolder ",
      kFolderName,
      ", got neither");
}

Images read_file(const fs::path& file) {
  std::error_code error;
  const auto bytes = fs::file_size(file, error);
  TORCH_CHECK_VALUE(
      !error,
      "data: expected the file '",
      file.string(),
      "', got: ",
      error.message());
  TORCH_CHECK_VALUE(
      bytes == kFileBytes,
      "data: '",
      file.string(),
      "': expected ",
      kFileBytes,
      " bytes (",
      kRecordsPerFile,
      " records of ",
      kRecordBytes,
      "), got ",
      bytes);

  std::vector<std::uint8_t> content(kFileBytes);
  std::ifstream stream(file, std::ios::binary);
  stream.read(
      reinterpret_cast<char*>(content.data()),
      static_cast<std::streamsize>(content.size()));
  TORCH_CHECK(
      stream,
      "data: '",
      file.string(),
      "': expected to read ",
      kFileBytes,
      " bytes, got ",
      stream.gcount(),
      " (",
      std::strerror(errno),
      ")");
  return decode_records(content, file.string());
}

}  // namespace

ClassNames official_class_names() {
  return {
      "airplane",
      "automobile",
      "bird",
      "cat",
      "deer",
      "dog",
      "frog",
      "horse",
      "ship",
      "truck"};
}

ClassNames read_class_names(std::istream& stream) {
  ClassNames read;
  for (auto& name : read) {
    std::string line;
    std::getline(stream, line);
    if (line.ends_with('\r')) {  // lines of Windows
      line.pop_back();
    }
    if (line.empty()) {
      return official_class_names();
    }
    name = printable(line);
  }
  return read;
}

Images decode_records(
    std::span<const std::uint8_t> bytes, std::string_view name) {
  TORCH_CHECK_VALUE(
      bytes.size() % kRecordBytes == 0,
      "data: '",
      name,
      "': expected whole records of ",
      kRecordBytes,
      " bytes, got ",
      bytes.size(),
      " bytes");
  const auto count = bytes.size() / kRecordBytes;
  const auto size = static_cast<std::int64_t>(count);
  Images images{
      torch::empty({size, kChannels, kSide, kSide}, torch::kUInt8),
      torch::empty({size}, torch::kInt64)};
  auto* pixels = images.pixels.data_ptr<std::uint8_t>();
  auto* labels = images.labels.data_ptr<std::int64_t>();
  for (std::size_t i = 0; i < count; ++i) {
    const auto record = bytes.subspan(i * kRecordBytes, kRecordBytes);
    TORCH_CHECK_VALUE(
        record[0] < kClasses,
        "data: '",
        name,
        "', offset ",
        i * kRecordBytes,
        " (record ",
        i,
        "): expected a label from 0 to ",
        kClasses - 1,
        ", got ",
        static_cast<int>(record[0]));
    labels[i] = record[0];
    std::memcpy(pixels + i * kPixelBytes, record.data() + 1, kPixelBytes);
  }
  return images;
}

Dataset read_dataset(const fs::path& folder) {
  const auto found = find_folder(folder);
  std::ifstream names(found / "batches.meta.txt");
  std::vector<torch::Tensor> pixels;
  std::vector<torch::Tensor> labels;
  for (std::size_t i = 0; i < kTrainFiles; ++i) {
    const auto part = read_file(found / train_file(i));
    pixels.push_back(part.pixels);
    labels.push_back(part.labels);
  }
  return {
      .train = {torch::cat(pixels), torch::cat(labels)},
      .test = read_file(found / kTestFile),
      .class_names = read_class_names(names),
      .description = fmt::format("CIFAR-10 from {}", found.string())};
}

void keep_first(Images& images, std::int64_t count) {
  if (count > 0 && count < images.size()) {
    // clone: a view would keep the whole set in memory
    images.pixels = images.pixels.narrow(0, 0, count).clone();
    images.labels = images.labels.narrow(0, 0, count).clone();
  }
}

}  // namespace cifar10
