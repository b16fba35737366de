// SPDX-License-Identifier: MIT
// Rates by depth as texts: an error, or rates whose text stands for them and
// that lie in [0, 1].
#include "harnesses.hpp"
#include "input.hpp"
#include "promise.hpp"

#include <gatedpaths/depth/depth_rates.hpp>

#include <optional>

namespace gatedpaths::fuzz {

void depth_rates_text(Bytes bytes) {
  std::optional<DepthRates> rates;
  if (is_refused<c10::ValueError>(
          "DepthRates::", [&] { rates = DepthRates::parse(text_of(bytes)); })) {
    return;
  }
  const auto text = rates->to_string();
  const auto again = DepthRates::parse(text);
  require(again == *rates, "parse(to_string(rates)) == rates");
  require(again.to_string() == text, "rates have one text");
  for (const int64_t layers : {1, 2, 7, 1000}) {
    for (const double rate : rates->rates(layers)) {
      require(0 <= rate && rate <= 1, "rates in [0, 1], for " + text);
    }
  }
}

}  // namespace gatedpaths::fuzz
