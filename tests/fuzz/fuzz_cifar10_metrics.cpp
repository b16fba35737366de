// SPDX-License-Identifier: MIT
// A file of metrics that a run goes on in, behind the epochs that are done and
// the run's name: an error and the same file, or a file that has some of its
// lines.
#include "harnesses.hpp"
#include "input.hpp"
#include "metrics.hpp"
#include "promise.hpp"
#include "support/files.hpp"

#include <sstream>

namespace gatedpaths::fuzz {
namespace {

/// Whether each line of the one is in the other, in the same order.
bool has_lines_of(const std::string& part, const std::string& whole) {
  std::istringstream lines(whole);
  std::istringstream wanted(part);
  for (std::string line; std::getline(wanted, line);) {
    std::string other;
    do {
      if (!std::getline(lines, other)) {
        return false;
      }
    } while (other != line);
  }
  return true;
}

}  // namespace

void cifar10_metrics(Bytes bytes) {
  static const test::TemporaryFolder folder;
  const auto file = folder / "m.jsonl";
  Input input(bytes);
  const auto epochs = input.below(6);
  const auto run = input.text();
  const auto before = input.rest();
  test::write_file(file, before);
  if (is_refused<c10::Error>("metrics: expected ", [&] {
        cifar10::Metrics metrics(file, epochs, run);
      })) {
    require(test::read_file(file) == before, "the file as it was");
    return;
  }
  const auto kept = test::read_file(file);
  require(has_lines_of(kept, before), "lines that were there");
  require(kept.empty() || kept.back() == '\n', "whole lines");
  cifar10::Metrics metrics(file, epochs, run);
  require(test::read_file(file) == kept, "nothing more to drop");
  require(!metrics.has_test(epochs + 1), "no tests of epochs to come");
  metrics.write({{"event", "end"}});
  require(
      test::read_file(file) == kept + "{\"event\":\"end\"}\n", "one line more");
}

}  // namespace gatedpaths::fuzz
