// SPDX-License-Identifier: MIT
#include <gatedpaths/search/evaluate.hpp>

#include <c10/util/Logging.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/evaluated_net.hpp"
#include "support/file_limit.hpp"
#include "support/files.hpp"

using gatedpaths::evaluate;
using gatedpaths::EvaluateOptions;
using gatedpaths::EvaluationProgress;
using gatedpaths::NonFinite;
using gatedpaths::PathMetric;
using gatedpaths::PathResult;
using gatedpaths::PathSpace;
using gatedpaths::test::all_paths;
using gatedpaths::test::FileLimit;
using gatedpaths::test::message_of;
using gatedpaths::test::read_file;
using gatedpaths::test::small_batches;
using gatedpaths::test::StagedNet;
using gatedpaths::test::TemporaryFolder;
using gatedpaths::test::write_file;

namespace {

// A third, so that a text of few digits would not give it back.
double third_of_sum(const torch::Tensor& output, const torch::Tensor&) {
  return output.sum(torch::kDouble).item<double>() / 3;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = text.find('\n', begin);
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

// Keeps LibTorch's warnings.
class KeptWarnings : public c10::WarningHandler {
 public:
  void process(const c10::Warning& warning) override {
    texts.push_back(warning.msg());
  }
  std::vector<std::string> texts;
};

struct Evaluated {
  StagedNet net{2};
  PathSpace space{net};
  std::vector<gatedpaths::Path> paths = all_paths(space);
  std::vector<gatedpaths::EvaluationBatch> batches = small_batches();
  TemporaryFolder folder;
  std::filesystem::path file = folder / "results.jsonl";

  std::vector<PathResult> run(EvaluateOptions options = {}) {
    net.clear();
    return evaluate(
        net, space, paths, batches, third_of_sum, options.file(file));
  }
  std::string refusal(EvaluateOptions options = {}) {
    return message_of<c10::Error>([&] { run(options); });
  }
};

}  // namespace

TEST_CASE(
    "evaluate: a file has each result in a line of its own", "[evaluate]") {
  Evaluated all;
  const auto results = all.run();
  const auto lines = lines_of(read_file(all.file));
  REQUIRE(lines.size() == 1 + 9);
  CHECK_THAT(
      lines[0],
      Catch::Matchers::StartsWith(
          R"({"gatedpaths_evaluation":1,"space":"0x)") &&
          Catch::Matchers::EndsWith(
              R"(","metric":["value"],"batches":2,"samples":11})"));
  CHECK_THAT(
      lines[1],
      Catch::Matchers::StartsWith(R"({"path":"block0=a;block1=a","values":[)"));

  // Again: nothing runs, and the same bits come.
  std::vector<size_t> seen;
  std::vector<EvaluationProgress> progress;
  const auto again = all.run(
      EvaluateOptions()
          .on_result(
              [&](const PathResult& result) { seen.push_back(result.index); })
          .on_progress([&](const auto& now) { progress.push_back(now); }));
  CHECK(all.net.forwards == 0);
  CHECK(seen.size() == 9);
  CHECK(progress.empty());
  REQUIRE(again.size() == 9);
  for (size_t i = 0; i < 9; ++i) {
    CHECK(again[i].values == results[i].values);
    CHECK(again[i].path == results[i].path);
  }
  CHECK(lines_of(read_file(all.file)).size() == 10);
}

TEST_CASE(
    "evaluate: a file on a full disk is left with its whole lines",
    "[evaluate][error]") {
  Evaluated all;
  all.run();
  const std::string text = read_file(all.file);
  KeptWarnings kept;
  const c10::WarningUtils::WarningHandlerGuard guard(&kept);
  for (const size_t most : {size_t{7}, text.find('\n') + 20, text.size() - 1}) {
    std::filesystem::remove(all.file);
    {
      const FileLimit limit(most);
      CHECK(
          all.refusal() == "evaluate: expected to append a result to '" +
                               all.file.string() + "', got: File too large");
    }
    const std::string left = read_file(all.file);
    CHECK(left == text.substr(0, text.rfind('\n', most - 1) + 1));
    all.run();
    CHECK(read_file(all.file) == text);
  }
  CHECK(kept.texts.empty());
}

TEST_CASE(
    "evaluate: goes on from a file after an end at any byte", "[evaluate]") {
  Evaluated all;
  const auto results = all.run();
  const std::string text = read_file(all.file);
  KeptWarnings kept;
  const c10::WarningUtils::WarningHandlerGuard guard(&kept);
  for (const size_t end :
       {size_t{0},
        size_t{7},
        text.find('\n'),
        text.find('\n') + 1,
        text.find('\n') + 20,
        text.size() - 1,
        text.size()}) {
    CAPTURE(end);
    kept.texts.clear();
    write_file(all.file, text.substr(0, end));
    const auto again = all.run();
    REQUIRE(again.size() == 9);
    for (size_t i = 0; i < 9; ++i) {
      CHECK(again[i].values == results[i].values);
    }
    CHECK(read_file(all.file) == text);
    const bool is_cut = end != 0 && text[end - 1] != '\n';
    CHECK(kept.texts.size() == (is_cut ? 1 : 0));
    if (is_cut) {
      CHECK_THAT(
          kept.texts[0],
          Catch::Matchers::ContainsSubstring(
              "ends in a line that was cut short, which is dropped"));
    }
  }
}

TEST_CASE("evaluate: results are in the file when they come", "[evaluate]") {
  Evaluated all;
  size_t seen = 0;
  CHECK_THROWS_AS(
      all.run(EvaluateOptions().on_result([&](const PathResult&) {
        ++seen;
        CHECK(lines_of(read_file(all.file)).size() == 1 + seen);
        if (seen == 4) {
          throw std::runtime_error("enough");
        }
      })),
      std::runtime_error);
  EvaluationProgress last;
  const auto results = all.run(EvaluateOptions().on_progress(
      [&](const EvaluationProgress& now) { last = now; }));
  CHECK(results.size() == 9);
  CHECK(last.paths_done == 9);
  CHECK(last.runs_total == 5 * 2);
}

TEST_CASE("evaluate: a file holds what is not finite", "[evaluate]") {
  StagedNet net(1);
  const PathSpace space(net);
  const TemporaryFolder folder;
  const auto file = folder / "results.jsonl";
  const PathMetric metric(
      {"a", "b", "c"}, [](const torch::Tensor&, const torch::Tensor&) {
        const double infinite = std::numeric_limits<double>::infinity();
        return torch::tensor(
            {infinite, -infinite, std::nan("")}, torch::kDouble);
      });
  const auto run = [&](NonFinite non_finite) {
    return evaluate(
        net,
        space,
        {space.at(0)},
        {small_batches()[0]},
        metric,
        EvaluateOptions().file(file).non_finite(non_finite));
  };
  run(NonFinite::kRecord);
  CHECK(
      lines_of(read_file(file))[1] ==
      R"({"path":"block0=a","values":["inf","-inf","nan"]})");
  const auto values = run(NonFinite::kRecord)[0].values;
  CHECK(values[0] == std::numeric_limits<double>::infinity());
  CHECK(values[1] == -std::numeric_limits<double>::infinity());
  CHECK(std::isnan(values[2]));
  CHECK_THAT(
      message_of<c10::ValueError>([&] { run(NonFinite::kThrow); }),
      Catch::Matchers::StartsWith(
          "evaluate: expected a finite 'a', got inf for the path 'block0=a' "
          "in "));
}

TEST_CASE("evaluate: refuses a file of something else", "[evaluate][error]") {
  Evaluated all;
  all.run();
  const std::string text = read_file(all.file);
  const auto first_line = text.substr(0, text.find('\n'));
  using Catch::Matchers::ContainsSubstring;

  SECTION("another space") {
    StagedNet net(3);
    const PathSpace space(net);
    CHECK_THAT(
        message_of<c10::ValueError>([&] {
          evaluate(
              net,
              space,
              {space.at(0)},
              all.batches,
              third_of_sum,
              EvaluateOptions().file(all.file));
        }),
        ContainsSubstring("to hold results of {\"gatedpaths_evaluation\":1") &&
            ContainsSubstring("got " + first_line));
  }
  SECTION("other batches") {
    all.batches.pop_back();
    CHECK_THAT(
        all.refusal(), ContainsSubstring("\"batches\":1,\"samples\":8}, got"));
  }
  SECTION("no results") {
    write_file(all.file, std::string("hello\n"));
    CHECK_THAT(all.refusal(), ContainsSubstring("got hello; give another"));
  }
  SECTION("a line that is none") {
    write_file(all.file, first_line + "\n{\"path\":\n" + text);
    CHECK_THAT(
        all.refusal(), ContainsSubstring("expected a result in line 2 of"));
  }
  SECTION("a path that is none") {
    write_file(
        all.file, first_line + "\n{\"path\":\"block0=d\",\"values\":[1]}\n");
    CHECK_THAT(
        all.refusal(),
        ContainsSubstring("expected a result in line 2 of") &&
            ContainsSubstring("'d'"));
  }
  SECTION("another number of values") {
    write_file(
        all.file,
        first_line + "\n{\"path\":\"block0=a;block1=a\",\"values\":[]}\n");
    CHECK_THAT(all.refusal(), ContainsSubstring("expected 1 values, got 0"));
  }
  SECTION("a folder") {
    all.file = all.folder.path();
    CHECK_THAT(
        all.refusal(),
        ContainsSubstring("expected a file of results that can be read"));
  }
  SECTION("in a folder that is not there") {
    all.file = all.folder / "nowhere" / "results.jsonl";
    CHECK_THAT(
        all.refusal(),
        ContainsSubstring("expected a file of results that can be written") &&
            ContainsSubstring("No such file or directory"));
  }
}
