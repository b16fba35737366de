// SPDX-License-Identifier: MIT
// A table of costs of a small space: refused, or one of finite costs that is
// written and read again as the same.
#include "harnesses.hpp"
#include "input.hpp"
#include "promise.hpp"

#include <gatedpaths/paths/space_layout.hpp>
#include <gatedpaths/search/cost_model.hpp>

#include <cmath>
#include <memory>
#include <optional>
#include <vector>

namespace gatedpaths::fuzz {

void cost_json(Bytes bytes) {
  static const auto layout =
      std::make_shared<const SpaceLayout>(std::vector<GateLayout>{
          {.name = "g", .branch_names = {"a", "b"}},
          {.name = "h",
           .branch_names = {"x"},
           .min_open = 0,
           .places = {{.gate = 0, .branch = 1}}}});
  std::optional<CostModel> cost;
  if (is_refused<c10::Error>(
          "", [&] { cost = CostModel::from_json(layout, text_of(bytes)); })) {
    return;
  }
  const auto text = cost->to_json();
  require(
      CostModel::from_json(layout, text).to_json() == text,
      "a table that is written is read as the same");
  for (uint64_t i = 0; i < layout->size(); ++i) {
    // Of costs by path it may know none.
    is_refused<c10::Error>("", [&] {
      const auto of_path = cost->of(layout->at(i));
      require(std::isfinite(of_path.latency), "finite costs");
    });
  }
}

}  // namespace gatedpaths::fuzz
