// SPDX-License-Identifier: MIT
// Histories of searches: an error and the same file, or records that are the
// same when the file is read again, with one that was added behind them.
#include "harnesses.hpp"
#include "input.hpp"
#include "promise.hpp"
#include "support/files.hpp"

#include <gatedpaths/search/search_history.hpp>

#include <c10/util/Logging.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

namespace gatedpaths::fuzz {
namespace {

class Silence : public c10::WarningHandler {
 public:
  void process(const c10::Warning& /*warning*/) override {}
};

std::shared_ptr<const SpaceLayout> history_layout() {
  return std::make_shared<const SpaceLayout>(std::vector<GateLayout>{
      {.name = "a", .branch_names = {"0", "1"}},
      {.name = "b",
       .branch_names = {"0", "1", "2"},
       .min_open = 0,
       .max_open = 2,
       .places = {{0, 1}}}});
}

SearchHistory history_in(
    const std::shared_ptr<const SpaceLayout>& layout,
    const std::filesystem::path& file) {
  return {layout, {{"high"}, {"low", Direction::kMinimize}}, file};
}

SearchRecord record_of(const SpaceLayout& layout) {
  return {.path = layout.at(1), .values = {0.1, -2e300}, .seed = ~uint64_t{0}};
}

// What the first line has to be.
std::string head_of_file(const std::shared_ptr<const SpaceLayout>& layout) {
  const test::TemporaryFolder folder;
  history_in(layout, folder / "a.jsonl").add(record_of(*layout));
  const auto text = test::read_file(folder / "a.jsonl");
  return text.substr(0, text.find('\n') + 1);
}

}  // namespace

void search_history(Bytes bytes) {
  static const test::TemporaryFolder folder;
  static const auto layout = history_layout();
  static const std::string head = head_of_file(layout);
  const auto file = folder / "history.jsonl";
  const c10::WarningUtils::WarningHandlerGuard guard([] {
    static Silence silence;
    return &silence;
  }());
  Input input(bytes);
  const auto before = (input.byte() % 8 == 0 ? "" : head) + input.rest();
  test::write_file(file, before);
  std::vector<SearchRecord> records;
  if (is_refused<c10::Error>("SearchHistory: ", [&] {
        records = history_in(layout, file).records();
      })) {
    require(test::read_file(file) == before, "the file as it was");
    return;
  }
  for (const auto& record : records) {
    require(
        record.values.empty() || record.values.size() == 2,
        "a value for each objective, or none");
    for (const double value : record.values) {
      require(std::isfinite(value), "finite values");
    }
  }
  records.push_back(record_of(*layout));
  history_in(layout, file).add(records.back());
  require(
      history_in(layout, file).records() == records,
      "the same when read again");
}

}  // namespace gatedpaths::fuzz
