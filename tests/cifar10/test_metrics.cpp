// SPDX-License-Identifier: MIT
#include "metrics.hpp"

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"

#include <cmath>

namespace cifar10 {

namespace test = gatedpaths::test;

using Catch::Matchers::StartsWith;
using test::message_of;
using test::read_file;
using test::write_file;

TEST_CASE("Metrics: writes one JSON object a line", "[cifar10]") {
  const test::TemporaryFolder folder;
  write_file(folder / "m", "what an earlier run left\n");
  Metrics metrics(folder / "m");
  metrics.write({{"event", "start"}, {"text", "two\nlines"}});
  metrics.write({{"event", "epoch"}, {"loss", NAN}});
  CHECK(
      read_file(folder / "m") ==
      "{\"event\":\"start\",\"text\":\"two\\nlines\"}\n"
      "{\"event\":\"epoch\",\"loss\":null}\n");
}

TEST_CASE("Metrics: a text need not be UTF-8", "[cifar10]") {
  const test::TemporaryFolder folder;
  Metrics metrics(folder / "m");
  metrics.write({{"data", "CIFAR-10 from \xff"}});
  CHECK(read_file(folder / "m") == "{\"data\":\"CIFAR-10 from \uFFFD\"}\n");
}

TEST_CASE("Metrics: without a file, events are dropped", "[cifar10]") {
  Metrics metrics;
  CHECK_NOTHROW(metrics.write({{"event", "start"}}));
  CHECK_FALSE(metrics.has_test(1));
}

TEST_CASE(
    "Metrics: a resumed run keeps what it will not write again", "[cifar10]") {
  const test::TemporaryFolder folder;
  const std::string kept =
      "{\"event\":\"start\",\"epoch\":0}\n"
      "{\"event\":\"epoch\",\"epoch\":1}\n"
      "{\"event\":\"test\",\"epoch\":1}\n";
  write_file(
      folder / "m",
      kept +
          "{\"event\":\"epoch\",\"epoch\":2}\n"
          "{\"event\":\"test\",\"epoch\":2}\n"
          "{\"event\":\"end\",\"epoch\":2}\n"
          "{\"event\":\"epo");
  Metrics metrics(folder / "m", /*epochs_done=*/1);
  CHECK(read_file(folder / "m") == kept);
  CHECK(metrics.has_test(1));
  CHECK_FALSE(metrics.has_test(2));

  metrics.write({{"event", "end"}});
  CHECK(read_file(folder / "m") == kept + "{\"event\":\"end\"}\n");
}

TEST_CASE(
    "Metrics: what belongs to no run or to another one is refused",
    "[cifar10][error]") {
  const test::TemporaryFolder folder;
  const auto file = folder / "m";
  const auto refused = [&](const std::string& text) {
    write_file(file, text);
    auto message =
        message_of<c10::ValueError>([&] { Metrics metrics(file, 1, "a"); });
    CHECK(read_file(file) == text);
    return message;
  };
  CHECK(
      refused("{\"event\":\"start\",\"run\":\"b\"}\n") ==
      "metrics: expected those of the run in the checkpoint, 'a', got those of "
      "another one, 'b', in '" +
          file.string() + "'; name its own file, or a new one");
  CHECK_THAT(
      refused("{\"event\":\"start\",\"run\":\"a\"}\n"
              "{\"event\":\"start\",\"run\":\"b\"}\n"),
      StartsWith("metrics: expected those of the run in the checkpoint, 'a'"));
  CHECK_THAT(
      refused("{\"event\":\"start\"}\n"),
      StartsWith("metrics: expected those of the run in the checkpoint, 'a'"));
  const auto other =
      "metrics: expected a file that starts with the \"start\" of a run, got "
      "'" +
      file.string() + "' with other content; name a new file";
  CHECK(refused("a letter\n") == other);
  CHECK(refused("\n") == other);
  CHECK(refused("{\"event\":\"epoch\",\"epoch\":1}\n") == other);
  CHECK(refused("[1]\n") == other);

  const std::string own = "{\"event\":\"start\",\"run\":\"a\"}\n";
  write_file(file, own + "{\"event\":\"sta");
  Metrics metrics(file, 1, "a");
  CHECK(read_file(file) == own);
  write_file(file, std::string("{\"event\":\"sta"));
  Metrics again(file, 1, "a");
  CHECK(read_file(file).empty());
}

TEST_CASE("Metrics: a line that is no event is refused", "[cifar10][error]") {
  const test::TemporaryFolder folder;
  const auto file = folder / "m";
  const std::string start = "{\"event\":\"start\",\"run\":\"a\"}\n";
  const std::string line = GENERATE(
      "{\"event\":1}",
      "{\"event\":[\"test\"],\"epoch\":1}",
      "{\"epoch\":1}",
      "{\"event\":\"epoch\"}",
      "{\"event\":\"epoch\",\"epoch\":\"1\"}",
      "{\"event\":\"epoch\",\"epoch\":null}",
      "{\"event\":\"test\",\"epoch\":0.5}",
      "{\"event\":\"test\",\"epoch\":1e300}",
      "{\"event\":\"test\",\"epoch\":18446744073709551615}",
      "{\"event\":\"test\",\"epoch\":-1}",
      "{\"event\":\"start\",\"run\":1}",
      "[1]",
      "1");
  write_file(file, start + line + '\n');
  CHECK(
      message_of<c10::ValueError>([&] { Metrics metrics(file, 1, "a"); }) ==
      "metrics: expected an event a line, got '" + line + "' in '" +
          file.string() + "'; name a new file");
  CHECK(read_file(file) == start + line + '\n');
}

TEST_CASE(
    "Metrics: lines of brackets without end are refused", "[cifar10][error]") {
  const test::TemporaryFolder folder;
  const auto file = folder / "m";
  const std::size_t depth = 300000;  // more than a stack has calls for
  const auto brackets = std::string(depth, '[') + std::string(depth, ']');
  const auto* place = GENERATE("\"event\":", "\"event\":\"start\",\"run\":");
  const auto text = std::string("{") + place + brackets +
                    ",\"a\":1,\"b\":2,\"c\":3}\n";  // so that it grows
  write_file(file, text);
  CHECK_THROWS_AS(Metrics(file, 1, "a"), c10::ValueError);
  CHECK(read_file(file) == text);
}

TEST_CASE("Metrics: a resumed run may start a new file", "[cifar10]") {
  const test::TemporaryFolder folder;
  Metrics metrics(folder / "m", 3);
  CHECK_FALSE(metrics.has_test(3));
  CHECK(read_file(folder / "m").empty());
}

TEST_CASE(
    "Metrics: a file that cannot be written is named", "[cifar10][error]") {
  const test::TemporaryFolder folder;
  const auto file = folder / "none" / "m";
  const auto message = "metrics: expected a file that can be written, got '" +
                       file.string() + "': No such file or directory";
  CHECK(message_of<c10::Error>([&] { require_writable(file); }) == message);
  CHECK(message_of<c10::Error>([&] { Metrics metrics(file); }) == message);

  write_file(folder / "old", "text");
  CHECK_NOTHROW(require_writable(folder / "old"));
  CHECK(read_file(folder / "old") == "text");
}

TEST_CASE("Metrics: a disk that is full is an error", "[cifar10][error]") {
  if (!test::fs::exists("/dev/full")) {
    SKIP("no /dev/full here");
  }
  Metrics metrics("/dev/full");
  CHECK_THAT(
      message_of<c10::Error>([&] { metrics.write({{"event", "start"}}); }),
      StartsWith("metrics: cannot write to '/dev/full': No space left"));
}

}  // namespace cifar10
