// SPDX-License-Identifier: MIT
// Where a checkpoint says that its run is, and on which device.
#include "checksum.hpp"
#include "position.hpp"
#include "small_run.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"

#include <torch/serialize/archive.h>

#include <string>

namespace cifar10 {

namespace test = gatedpaths::test;
namespace {

using test::message_of;
using test::read_file;
using test::write_file;

void copy_archive(
    torch::serialize::InputArchive& from, torch::serialize::OutputArchive& to) {
  for (const auto& key : from.keys()) {
    torch::serialize::InputArchive nested;
    torch::Tensor tensor;
    if (from.try_read(key, nested)) {
      torch::serialize::OutputArchive copy(to.compilation_unit());
      copy_archive(nested, copy);
      to.write(key, copy);
    } else if (from.try_read(key, tensor)) {
      to.write(key, tensor, /*is_buffer=*/true);
    }
  }
}

/// The file with another position, and the checksum of that.
void set_position(const test::fs::path& file, const std::string& text) {
  torch::serialize::InputArchive in;
  in.load_from(file.string());
  auto content = content_of(in);
  content["position"] = text;
  torch::serialize::OutputArchive out;
  for (const auto* key : {"format", "settings"}) {
    c10::IValue value;
    in.read(key, value);
    out.write(key, value);
  }
  out.write("position", c10::IValue(text));
  for (const auto* key : {"net", "momentum"}) {
    torch::serialize::InputArchive nested;
    in.read(key, nested);
    torch::serialize::OutputArchive copy(out.compilation_unit());
    copy_archive(nested, copy);
    out.write(key, copy);
  }
  out.write("checksum", c10::IValue(checksum(content)));
  out.save_to(file.string());
}

}  // namespace

TEST_CASE(
    "TrainingRun: a position that contradicts itself is refused",
    "[cifar10][error]") {
  const test::TemporaryFolder folder;
  const auto file = folder / "run.pt";
  const auto run = start_small();  // 2 epochs of 3 steps
  run->step();
  run->save(file);
  const auto load = [&](const std::string& position) {
    set_position(file, position);
    const auto resumed = start_small();
    const auto before = all_weights(*resumed);
    const auto name = resumed->position().run;
    auto message = message_of<c10::ValueError>([&] { resumed->resume(file); });
    if (message != "(no error)") {
      CHECK(all_weights(*resumed) == before);
      CHECK(resumed->position().step == 0);
      CHECK(resumed->position().run == name);
    }
    return message;
  };
  const auto position = [](const std::string& epoch,
                           const std::string& batch,
                           const std::string& step,
                           const std::string& rest = R"("loss_sum":2.5,)"
                                                     R"("seconds":0.5)") {
    return R"({"epoch":)" + epoch + R"(,"batch":)" + batch + R"(,"step":)" +
           step + "," + rest + "}";
  };
  const std::string done = R"("loss_sum":0,"seconds":0.0)";
  CHECK(load(position("0", "1", "1")) == "(no error)");
  CHECK(load(position("1", "2", "5")) == "(no error)");
  CHECK(load(position("1", "0", "3", done)) == "(no error)");
  CHECK(load(position("2", "0", "6", done)) == "(no error)");
  const auto bad = GENERATE_COPY(
      position("0", "1", "2"),
      position("1", "1", "1"),
      position("0", "4", "4"),
      position("2", "1", "7"),
      position("3", "0", "9", done),
      position("-1", "3", "0"),
      position("0", "-1", "-1"),
      position("0", "1.5", "1.5"),
      position("0", "\"1\"", "1"),
      position("18446744073709551615", "1", "18446744073709551614"),
      position("1", "0", "3"),
      position("0", "1", "1", R"("loss_sum":-1,"seconds":0.5)"),
      position("0", "1", "1", R"("loss_sum":null,"seconds":0.5)"),
      position("0", "1", "1", R"("loss_sum":1,"seconds":-0.5)"),
      position("0", "1", "1", R"("loss_sum":1)"),
      position("0", "1", "1", R"("loss_sum":1,"seconds":0.5,"run":1)"),
      std::string("[]"),
      std::string("{"),
      std::string());
  CHECK(
      load(bad) == "checkpoint '" + file.string() +
                       "': expected a position in a run of 2 epochs of 3 "
                       "steps, got '" +
                       bad + "'");
}

TEST_CASE(
    "Position: its text is taken back, brackets without end are refused",
    "[cifar10][error]") {
  const Position position{
      .epoch = 1,
      .batch = 2,
      .step = 5,
      .loss_sum = 0.1,
      .seconds = 1e-300,
      .run = "a \"b\"\n"};
  const RunLength length{.epochs = 2, .steps_per_epoch = 3};
  CHECK(parse_position("x", position_text(position), length) == position);

  const std::size_t depth = 300000;  // more than a stack has calls for
  const auto brackets = std::string(depth, '[') + std::string(depth, ']');
  const auto* name = GENERATE("epoch", "loss_sum", "run");
  auto text = position_text(position);
  const auto start = text.find(name) + std::string(name).size() + 2;
  text.replace(start, text.find_first_of(",}", start) - start, brackets);
  const auto message =
      message_of<c10::ValueError>([&] { parse_position("x", text, length); });
  CHECK(
      message ==
      "x: expected a position in a run of 2 epochs of 3 steps, got '" + text +
          "'");
}

TEST_CASE("TrainingRun: a checkpoint of another device loads", "[cifar10]") {
  const test::TemporaryFolder folder;
  const auto file = folder / "run.pt";
  const auto run = start_small();
  run->step();
  run->save(file);
  // As one from a device that is not here: the name of the CPU, which stands
  // before each tensor, in letters of the same number.
  auto bytes = read_file(file);
  const std::string here("X\x03\0\0\0cpu", 8);
  int changed = 0;
  for (auto at = bytes.find(here); at != std::string::npos;
       at = bytes.find(here, at + 1)) {
    bytes.replace(at + 5, 3, "xpu");
    ++changed;
  }
  REQUIRE(changed > 0);
  write_file(file, bytes);
  torch::serialize::InputArchive there;
  CHECK_THROWS(there.load_from(file.string()));

  const auto resumed = start_small();
  resumed->resume(file);
  CHECK(all_weights(*resumed) == all_weights(*run));
  CHECK(resumed->position().step == 1);
  CHECK(resumed->position().run == run->position().run);
  resumed->step();
  run->step();
  CHECK(all_weights(*resumed) == all_weights(*run));
}

}  // namespace cifar10
