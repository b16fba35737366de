// SPDX-License-Identifier: MIT
// Checkpoints of which a bit has changed.
#include "small_run.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"

#include <exception>
#include <regex>
#include <string>
#include <vector>

namespace cifar10 {

namespace test = gatedpaths::test;
namespace {

using test::message_of;
using test::read_file;
using test::write_file;

std::string bytes_of(const torch::Tensor& tensor) {
  const auto values = tensor.contiguous();
  return {static_cast<const char*>(values.const_data_ptr()), values.nbytes()};
}

}  // namespace

TEST_CASE(
    "TrainingRun: a checkpoint with one bit flipped is refused with both "
    "checksums",
    "[cifar10][error]") {
  const test::TemporaryFolder folder;
  const auto file = folder / "run.pt";
  const auto run = start_small();
  run->step();
  run->save(file);
  auto bytes = read_file(file);
  const auto* name = GENERATE("fc2.weight", "fc3.bias", "paths.a.0.weight");
  CAPTURE(name);
  const auto at = bytes.find(bytes_of(weight(*run, name)));
  REQUIRE(at != std::string::npos);
  bytes[at + 5] = static_cast<char>(bytes[at + 5] ^ 1);
  write_file(file, bytes);

  const auto resumed = start_small();
  const auto before = all_weights(*resumed);
  const auto message =
      message_of<c10::ValueError>([&] { resumed->resume(file); });
  CAPTURE(message);
  std::smatch sums;
  REQUIRE(std::regex_search(
      message,
      sums,
      std::regex("run.pt': expected content with the checksum ([0-9a-f]{16}), "
                 "got ([0-9a-f]{16}) \\(the file has changed since it was "
                 "saved\\)$")));
  CHECK(sums[1] != sums[2]);
  CHECK(bytes.find(sums[1].str()) != std::string::npos);
  CHECK(all_weights(*resumed) == before);
  CHECK(resumed->position().step == 0);
}

TEST_CASE(
    "TrainingRun: whatever bit flips, nothing else is ever loaded",
    "[cifar10][error][slow]") {
  const test::TemporaryFolder folder;
  const auto file = folder / "run.pt";
  const auto run = start_small();
  run->step();
  run->save(file);
  const auto whole = read_file(file);
  const auto wanted = all_weights(*run);
  // Many in the texts and names, which stand at the ends, some in the weights.
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < whole.size();
       i += i < 4096 || i + 12288 > whole.size() ? 61 : 20011) {
    places.push_back(i);
  }
  int refused = 0;
  for (const auto place : places) {
    CAPTURE(place);
    auto bytes = whole;
    bytes[place] = static_cast<char>(bytes[place] ^ (1 << place % 8));
    write_file(file, bytes);
    const auto resumed = start_small();
    const auto before = all_weights(*resumed);
    try {
      resumed->resume(file);
    } catch (const std::exception&) {
      ++refused;
      CHECK(all_weights(*resumed) == before);
      CHECK(resumed->position().step == 0);
      continue;
    }
    CHECK(all_weights(*resumed) == wanted);  // it was padding
    CHECK(resumed->position().step == 1);
    CHECK(resumed->position().loss_sum == run->position().loss_sum);
  }
  CHECK(refused > 10);
}

}  // namespace cifar10
