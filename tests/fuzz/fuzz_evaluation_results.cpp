// SPDX-License-Identifier: MIT
// A file of results that an evaluation goes on in: an error and the same file,
// or all results, and a file that gives the same ones again.
#include "harnesses.hpp"
#include "promise.hpp"
#include "support/files.hpp"

#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/search/evaluate.hpp>

#include <c10/util/Logging.h>
#include <torch/nn/modules/common.h>
#include <torch/nn/modules/linear.h>

#include <cmath>
#include <string>
#include <vector>

namespace gatedpaths::fuzz {
namespace {

/// Keeps the word on a line that was cut short from the terminal.
struct Quiet : c10::WarningHandler {
  void process(const c10::Warning& /*warning*/) override {}
};

double sum_of(const torch::Tensor& output, const torch::Tensor& /*target*/) {
  return output.sum().item<double>();
}

bool are_equal(
    const std::vector<PathResult>& some, const std::vector<PathResult>& other) {
  bool equal = some.size() == other.size();
  for (size_t i = 0; equal && i < some.size(); ++i) {
    const double a = some[i].values.at(0);
    const double b = other[i].values.at(0);
    equal = some[i].path == other[i].path &&
            (a == b || (std::isnan(a) && std::isnan(b)));
  }
  return equal;
}

}  // namespace

void evaluation_results(Bytes bytes) {
  static const test::TemporaryFolder folder;
  static ChoiceBlock<> net(
      {{"a", torch::nn::Identity()}, {"b", torch::nn::Flatten()}});
  static const PathSpace space(net);
  static const std::vector<EvaluationBatch> batches = {
      {torch::ones({2, 1}), torch::Tensor()}};
  static Quiet quiet;
  const c10::WarningUtils::WarningHandlerGuard guard(&quiet);
  const auto file = folder / "r.jsonl";
  const std::string before(bytes.begin(), bytes.end());
  test::write_file(file, before);
  const auto run = [&] {
    return evaluate(
        net,
        space,
        {space.at(0), space.at(1)},
        batches,
        sum_of,
        EvaluateOptions().file(file).non_finite(NonFinite::kRecord));
  };
  std::vector<PathResult> results;
  if (is_refused<c10::Error>("evaluate: ", [&] { results = run(); })) {
    require(test::read_file(file) == before, "the file as it was");
    return;
  }
  require(results.size() == 2, "a result for each path");
  const auto after = test::read_file(file);
  require(are_equal(run(), results), "the same results from the file");
  require(test::read_file(file) == after, "nothing more to write");
}

}  // namespace gatedpaths::fuzz
