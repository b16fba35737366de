// SPDX-License-Identifier: MIT
#include "command_line.hpp"

#include "support/catch.hpp"

#include <sstream>
#include <tuple>

namespace cifar10 {
namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

struct Parsed {
  std::optional<int> status;
  Options options;
  std::string out;
  std::string err;
};

Parsed parse(const std::vector<std::string>& arguments) {
  Parsed parsed;
  std::ostringstream out;
  std::ostringstream err;
  parsed.status = parse_command_line(arguments, parsed.options, out, err);
  parsed.out = out.str();
  parsed.err = err.str();
  return parsed;
}

}  // namespace

TEST_CASE("command line: every flag reaches its option", "[cifar10]") {
  const auto [status, options, out, err] = parse(
      {"--data",
       "d",
       "--epochs",
       "3",
       "--batch-size",
       "4",
       "--lr",
       "1e-3",
       "--momentum",
       "0",
       "--weight-decay",
       "0",
       "--seed",
       "9",
       "--threads",
       "2",
       "--skip",
       "no-grad",
       "--form",
       "dense",
       "--paths",
       "5",
       "--width",
       "2",
       "--checkpoint",
       "c.pt",
       "--resume",
       "--metrics",
       "m",
       "--device",
       "cuda:1",
       "--limit",
       "100",
       "--test-every",
       "2"});
  REQUIRE_FALSE(status);
  CHECK(options.data.folder == "d");
  CHECK(options.data.limit == 100);
  CHECK(options.epochs == 3);
  CHECK(options.batch_size == 4);
  CHECK(options.lr == 1e-3);
  CHECK(options.momentum == 0);
  CHECK(options.weight_decay == 0);
  CHECK(options.seed == 9);
  CHECK(options.threads == 2);
  CHECK(options.skip == gatedpaths::Skip::kNoGrad);
  CHECK(options.form == Form::kDense);
  CHECK(options.paths == 5);
  CHECK(options.width == 2);
  CHECK(options.checkpoint == "c.pt");
  CHECK(options.resume);
  CHECK(options.metrics == "m");
  CHECK(options.device == "cuda:1");
  CHECK(options.test_every == 2);
}

TEST_CASE("command line: the form is slots unless told", "[cifar10]") {
  CHECK(parse({}).options.form == Form::kSlots);
  CHECK(parse({"--form", "slots"}).options.form == Form::kSlots);
}

TEST_CASE("command line: --help explains each flag", "[cifar10]") {
  const auto parsed = parse({"--help"});
  CHECK(parsed.status == 0);
  for (const auto* flag :
       {"--data",     "--download",     "--download-url", "--download-md5",
        "--limit",    "--paths",        "--width",        "--skip",
        "--form",     "--epochs",       "--batch-size",   "--lr",
        "--momentum", "--weight-decay", "--seed",         "--test-every",
        "--threads",  "--device",       "--checkpoint",   "--resume",
        "--metrics"}) {
    CHECK_THAT(parsed.out, ContainsSubstring(std::string("  ") + flag + " "));
  }
  CHECK_THAT(
      parsed.out, ContainsSubstring("Passes over the training set [10]"));
  CHECK_THAT(parsed.out, ContainsSubstring("[zero-fill]"));
  CHECK_THAT(parsed.out, ContainsSubstring("[slots]"));
}

TEST_CASE(
    "command line: a flag that cannot be used is named with what was wanted",
    "[cifar10][error]") {
  using Row = std::tuple<std::vector<std::string>, std::string>;
  const auto& [arguments, message] = GENERATE(
      Row{{"--epochs", "0"},
          "--epochs: expected a whole number of at least 1, got '0'"},
      Row{{"--batch-size", "-4"},
          "--batch-size: expected a whole number of at least 1, got '-4'"},
      Row{{"--paths", "0"},
          "--paths: expected a whole number of at least 1, got '0'"},
      Row{{"--width", "1.5"},
          "--width: expected a whole number of at least 1, got '1.5'"},
      Row{{"--threads", "0"},
          "--threads: expected a whole number of at least 1, got '0'"},
      Row{{"--limit", "-1"},
          "--limit: expected a whole number of at least 0, got '-1'"},
      Row{{"--seed", "99999999999999999999"},
          "--seed: expected a whole number of at least 0, got "
          "'99999999999999999999'"},
      Row{{"--lr", "0"}, "--lr: expected a number above 0, got '0'"},
      Row{{"--lr", "nan"}, "--lr: expected a number above 0, got 'nan'"},
      Row{{"--momentum", "1"},
          "--momentum: expected a number from 0 to below 1, got '1'"},
      Row{{"--weight-decay", "x"},
          "--weight-decay: expected a number of at least 0, got 'x'"},
      Row{{"--skip", "mask"},
          "--skip: expected zero-fill or no-grad, got 'mask'"},
      Row{{"--form", "sparse"},
          "--form: expected slots or dense, got 'sparse'"},
      Row{{"--device", "gpu"},
          "--device: expected cpu, cuda or cuda:<index>, got 'gpu'"},
      Row{{"--resume"}, "--resume requires --checkpoint"},
      Row{{"--data", "d", "--download"}, "excludes"},
      Row{{"--epoch", "3"}, "--epoch"});

  const auto parsed = parse(arguments);
  CHECK(parsed.status == 2);
  CHECK(parsed.out.empty());
  CHECK_THAT(parsed.err, StartsWith("cifar10: ") && ContainsSubstring(message));
}

}  // namespace cifar10
