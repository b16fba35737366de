// SPDX-License-Identifier: MIT
#include "dataset.hpp"

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"

#include <fmt/format.h>

#include <vector>

namespace cifar10 {

namespace test = gatedpaths::test;
namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;
using test::message_of;
using test::write_file;

/// A file of black images, labels 0 ... 9 in turn.
std::vector<std::uint8_t> black_records(std::size_t count) {
  std::vector<std::uint8_t> bytes(count * kRecordBytes);
  for (std::size_t i = 0; i < count; ++i) {
    bytes[i * kRecordBytes] = static_cast<std::uint8_t>(i % kClasses);
  }
  return bytes;
}

void write_dataset(const test::fs::path& folder) {
  test::fs::create_directories(folder);
  const auto bytes = black_records(kRecordsPerFile);
  for (int i = 1; i <= 5; ++i) {
    write_file(folder / fmt::format("data_batch_{}.bin", i), bytes);
  }
  write_file(folder / "test_batch.bin", bytes);
}

}  // namespace

TEST_CASE(
    "dataset: a record is a label and three planes of pixels", "[cifar10]") {
  auto bytes = black_records(2);
  bytes[kRecordBytes] = 7;
  bytes[kRecordBytes + 1 + 1024 + 32 * 5 + 3] = 200;  // green, row 5, column 3

  const auto images = decode_records(bytes, "two");

  CHECK(images.pixels.sizes() == c10::IntArrayRef({2, 3, 32, 32}));
  CHECK(images.labels[1].item<int64_t>() == 7);
  CHECK(images.pixels[1][1][5][3].item<int>() == 200);
  CHECK(images.pixels.sum().item<int64_t>() == 200);
}

TEST_CASE(
    "dataset: bytes that are no records are refused", "[cifar10][error]") {
  auto bytes = black_records(3);

  SECTION("a label above 9, with its place") {
    bytes[2 * kRecordBytes] = 10;
    CHECK(
        message_of<c10::Error>([&] { decode_records(bytes, "some.bin"); }) ==
        "data: 'some.bin', offset 6146 (record 2): expected a label from 0 to "
        "9, got 10");
  }
  SECTION("a part of a record") {
    bytes.pop_back();
    CHECK(
        message_of<c10::Error>([&] { decode_records(bytes, "some.bin"); }) ==
        "data: 'some.bin': expected whole records of 3073 bytes, got 9218 "
        "bytes");
  }
}

TEST_CASE("dataset: the six files are found and checked", "[cifar10][error]") {
  const test::TemporaryFolder folder;
  const auto binaries = folder / "cifar-10-batches-bin";
  write_dataset(binaries);

  SECTION("in the folder itself or in the archive's folder in it") {
    const auto named = GENERATE(true, false) ? binaries : folder.path();
    const auto data = read_dataset(named);
    CHECK(data.train.size() == 50000);
    CHECK(data.test.size() == 10000);
    CHECK(data.class_names == official_class_names());
    CHECK_THAT(data.description, EndsWith(binaries.string()));
    CHECK_FALSE(data.is_stand_in);
  }
  SECTION("a file that was cut short") {
    test::fs::resize_file(binaries / "data_batch_3.bin", 30729999);
    const auto message =
        message_of<c10::Error>([&] { read_dataset(binaries); });
    CHECK_THAT(message, StartsWith("data: '"));
    CHECK_THAT(
        message,
        EndsWith("data_batch_3.bin': expected 30730000 bytes (10000 records of "
                 "3073), got 30729999"));
  }
  SECTION("a wrong label, by file and offset") {
    auto bytes = black_records(kRecordsPerFile);
    bytes[9999 * kRecordBytes] = 255;
    write_file(binaries / "test_batch.bin", bytes);
    CHECK_THAT(
        message_of<c10::Error>([&] { read_dataset(binaries); }),
        EndsWith("test_batch.bin', offset 30726927 (record 9999): expected a "
                 "label from 0 to 9, got 255"));
  }
  SECTION("a file that is missing") {
    test::fs::remove(binaries / "data_batch_5.bin");
    CHECK_THAT(
        message_of<c10::Error>([&] { read_dataset(binaries); }),
        StartsWith("data: expected the file '") &&
            EndsWith("data_batch_5.bin', got: No such file or directory"));
  }
  SECTION("the names of the classes") {
    write_file(
        binaries / "batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n");
    CHECK(read_dataset(binaries).class_names[9] == "j");
    write_file(
        binaries / "batches.meta.txt",
        "a\r\nb\x1b[2J\r\nc\td\r\nd\nKäfer\nf\ng\xff\nh\ni\nj");
    const auto names = read_dataset(binaries).class_names;
    CHECK(names[0] == "a");
    CHECK(names[1] == "b\\x1b[2J");
    CHECK(names[2] == "c\\x09d");
    CHECK(names[4] == "Käfer");
    CHECK(names[6] == "g\\xff");
    CHECK(names[9] == "j");
  }
}

TEST_CASE(
    "dataset: a folder without the files is refused", "[cifar10][error]") {
  const test::TemporaryFolder folder;
  write_file(folder / "file", "text");

  CHECK(
      message_of<c10::Error>([&] { read_dataset(folder.path()); }) ==
      "data: expected data_batch_1.bin in '" + folder.path().string() +
          "' or its subfolder cifar-10-batches-bin, got neither");
  CHECK(
      message_of<c10::Error>([&] { read_dataset(folder / "none"); }) ==
      "data: expected a folder with the CIFAR-10 binary files, got '" +
          (folder / "none").string() + "', which does not exist");
  CHECK_THAT(
      message_of<c10::Error>([&] { read_dataset(folder / "file"); }),
      EndsWith("file', which is a file"));
}

TEST_CASE("dataset: a limit keeps the first images", "[cifar10]") {
  auto images = decode_records(black_records(5), "five");
  keep_first(images, 0);
  CHECK(images.size() == 5);
  keep_first(images, 9);
  CHECK(images.size() == 5);
  keep_first(images, 3);
  CHECK(images.size() == 3);
  CHECK(images.pixels.size(0) == 3);
  CHECK(images.labels[2].item<int64_t>() == 2);
}

}  // namespace cifar10
