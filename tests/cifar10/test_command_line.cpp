// SPDX-License-Identifier: MIT
#include "command_line.hpp"

#include "support/catch.hpp"
#include "support/files.hpp"

#include <sstream>
#include <tuple>

namespace cifar10 {

namespace test = gatedpaths::test;
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
       "--path",
       "paths=c",
       "--derive",
       "s.pt",
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
  CHECK(options.path == "paths=c");
  CHECK(options.derive == "s.pt");
  CHECK(options.checkpoint == "c.pt");
  CHECK(options.resume);
  CHECK(options.metrics == "m");
  CHECK(options.device == "cuda:1");
  CHECK(options.test_every == 2);
}

TEST_CASE("command line: numbers up to their bounds are read", "[cifar10]") {
  const auto options = parse({"--seed",
                              "18446744073709551615",
                              "--threads",
                              "1024",
                              "--limit",
                              "9223372036854775807",
                              "--epochs",
                              "1000000",
                              "--batch-size",
                              "1000000"})
                           .options;
  CHECK(options.seed == 18446744073709551615U);
  CHECK(options.threads == 1024);
  CHECK(options.data.limit == 9223372036854775807);
  CHECK(options.epochs == 1000000);
  CHECK(options.batch_size == 1000000);
}

TEST_CASE("command line: leading zeros make no octal number", "[cifar10]") {
  const auto options =
      parse({"--seed", "010", "--epochs", "0020", "--paths", "08"}).options;
  CHECK(options.seed == 10);
  CHECK(options.epochs == 20);
  CHECK(options.paths == 8);
}

TEST_CASE("command line: old files are replaced if told", "[cifar10]") {
  CHECK_FALSE(parse({"--checkpoint", "c"}).options.overwrite);
  CHECK(parse({"--checkpoint", "c", "--overwrite"}).options.overwrite);
  CHECK(parse({"--metrics", "m", "--overwrite"}).options.overwrite);
}

TEST_CASE("command line: the form is slots unless told", "[cifar10]") {
  CHECK(parse({}).options.form == Form::kSlots);
  CHECK(parse({"--form", "slots"}).options.form == Form::kSlots);
}

TEST_CASE("command line: --help explains each flag", "[cifar10]") {
  const auto parsed = parse({"--help"});
  CHECK(parsed.status == 0);
  for (const auto* flag :
       {"--data",       "--download",   "--download-url", "--download-md5",
        "--limit",      "--paths",      "--width",        "--skip",
        "--form",       "--path",       "--derive",       "--epochs",
        "--batch-size", "--lr",         "--momentum",     "--weight-decay",
        "--seed",       "--test-every", "--threads",      "--device",
        "--checkpoint", "--resume",     "--metrics",      "--overwrite"}) {
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
          "--seed: expected a whole number of at most 18446744073709551615, "
          "got "
          "'99999999999999999999'"},
      Row{{"--seed", "-1"},
          "--seed: expected a whole number of at least 0, got '-1'"},
      Row{{"--threads", "100000"},
          "--threads: expected a whole number of at most 1024, got '100000'"},
      Row{{"--batch-size", "9223372036854775807"},
          "--batch-size: expected a whole number of at most 1000000, got "
          "'9223372036854775807'"},
      Row{{"--epochs", "1000001"},
          "--epochs: expected a whole number of at most 1000000, got "
          "'1000001'"},
      Row{{"--limit", "9223372036854775808"},
          "--limit: expected a whole number of at most 9223372036854775807, "
          "got '9223372036854775808'"},
      Row{{"--epochs", ""},
          "--epochs: expected a whole number of at least 1, got ''"},
      Row{{"--data", ""}, "--data: expected the name of a folder, got ''"},
      Row{{"--checkpoint", ""},
          "--checkpoint: expected the name of a file, got ''"},
      Row{{"--metrics", ""}, "--metrics: expected the name of a file, got ''"},
      Row{{"--download", "--download-url", ""},
          "--download-url: expected a URL, got ''"},
      Row{{"--download", "--download-md5", ""},
          "--download-md5: expected a checksum, got ''"},
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
      Row{{"--path", ""}, "--path: expected a path, as 'paths=a', got ''"},
      Row{{"--path", "paths=a", "--derive", ""},
          "--derive: expected the name of a checkpoint, got ''"},
      Row{{"--derive", "s.pt"}, "--derive requires --path"},
      Row{{"--device", "gpu"},
          "--device: expected cpu, cuda or cuda:<index>, got 'gpu'"},
      Row{{"--resume"}, "--resume requires --checkpoint"},
      Row{{"--checkpoint", "c", "--resume", "--overwrite"},
          "--resume excludes --overwrite"},
      Row{{"--overwrite"},
          "--overwrite: expected --checkpoint or --metrics with it, got "
          "neither"},
      Row{{"--data", "d", "--download"}, "excludes"},
      Row{{"--epoch", "3"}, "--epoch"});

  const auto parsed = parse(arguments);
  CHECK(parsed.status == 2);
  CHECK(parsed.out.empty());
  CHECK_THAT(parsed.err, StartsWith("cifar10: ") && ContainsSubstring(message));
}

TEST_CASE(
    "command line: metrics and checkpoint in one file are refused",
    "[cifar10][error]") {
  const test::TemporaryFolder folder;
  const auto name = [&folder](const char* text) {
    return (folder / text).string();
  };
  const auto refused = [&](const char* a, const char* b) {
    const auto parsed = parse({"--checkpoint", name(a), "--metrics", name(b)});
    return parsed.status == 2 &&
           parsed.err.starts_with(
               "cifar10: --metrics: expected another file than --checkpoint '" +
               name(a) + "', got '" + name(b) + "'\n");
  };
  test::fs::create_directory(folder / "sub");
  test::fs::create_symlink("run", folder / "link");  // to no file as yet
  test::fs::create_symlink("link", folder / "link to link");
  test::fs::create_directory_symlink("sub", folder / "linked");
  const auto check = [&] {
    CHECK(refused("run", "run"));
    CHECK(refused("run", "./run"));
    CHECK(refused("sub/../run", "run"));
    CHECK(refused("run", "link"));
    CHECK(refused("link", "run"));
    CHECK(refused("link", "link to link"));
    CHECK(refused("sub/x", "linked/x"));
    CHECK_FALSE(refused("run", "runs"));
    CHECK_FALSE(refused("link", "sub/run"));
    CHECK_FALSE(refused("sub/x", "x"));
  };
  check();
  test::write_file(folder / "run", std::string("text"));
  check();
  test::fs::create_hard_link(folder / "run", folder / "hard");
  CHECK(refused("run", "hard"));
  CHECK(test::read_file(folder / "run") == "text");
  CHECK(parse({"--checkpoint", "run", "--metrics", "./run"}).status == 2);
}

TEST_CASE(
    "command line: weights from a file that the run writes are refused",
    "[cifar10][error]") {
  const test::TemporaryFolder folder;
  const auto name = [&folder](const char* text) {
    return (folder / text).string();
  };
  const auto parse_with = [&](const char* flag, const char* file) {
    return parse(
        {"--path", "paths=a", "--derive", name("s.pt"), flag, name(file)});
  };
  test::write_file(folder / "s.pt", std::string("text"));
  test::fs::create_symlink("s.pt", folder / "link");
  const auto* flag = GENERATE("--checkpoint", "--metrics");
  for (const auto* file : {"s.pt", "./s.pt", "link"}) {
    const auto parsed = parse_with(flag, file);
    CHECK(parsed.status == 2);
    CHECK_THAT(
        parsed.err,
        StartsWith(
            std::string("cifar10: --derive: expected another file than ") +
            flag + " '" + name(file) + "', got '" + name("s.pt") + "'\n"));
  }
  CHECK_FALSE(parse_with(flag, "other").status);
  CHECK(test::read_file(folder / "s.pt") == "text");
}

TEST_CASE(
    "command line: a message shows no control characters", "[cifar10][error]") {
  CHECK_THAT(
      parse({"--device", "\x1b[2J"}).err, ContainsSubstring("'\\x1b[2J'"));
}

}  // namespace cifar10
