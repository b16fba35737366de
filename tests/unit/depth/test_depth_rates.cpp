// SPDX-License-Identifier: MIT
#include <gatedpaths/depth/depth_rates.hpp>

#include <cmath>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"

using gatedpaths::DepthRates;
using gatedpaths::test::message_of;

namespace {

using Numbers = std::vector<double>;

}  // namespace

TEST_CASE("DepthRates: rates follow the formulas", "[depth_rates]") {
  CHECK(DepthRates::uniform(0.2).rates(3) == Numbers(3, 0.2));
  CHECK(
      DepthRates::linear(0, 0.5).rates(5) ==
      Numbers{0, 0.125, 0.25, 0.375, 0.5});
  CHECK(DepthRates::linear(0.5, 0).rates(3) == Numbers{0.5, 0.25, 0});
  CHECK(
      DepthRates::linear_decay(0.5).rates(4) ==
      Numbers{0.125, 0.25, 0.375, 0.5});
  CHECK(
      DepthRates::convnext(0.5).rates(5) ==
      Numbers{0, 0.125, 0.25, 0.375, 0.5});
  CHECK(
      DepthRates::efficientnet(0.5).rates(4) == Numbers{0, 0.125, 0.25, 0.375});
  CHECK(DepthRates::linear_decay(0).rates(2) == Numbers(2, 0.0));
  CHECK(DepthRates::linear_decay(1).at(1, 2) == 1);
  CHECK(DepthRates::uniform(1).at(0, 2) == 1);
}

TEST_CASE("DepthRates: a single layer", "[depth_rates]") {
  CHECK(DepthRates::uniform(0.7).at(0, 1) == 0.7);
  CHECK(DepthRates::linear(0.2, 0.7).at(0, 1) == 0.2);  // as linspace
  CHECK(DepthRates::linear_decay(0.7).at(0, 1) == 0.7);
  CHECK(DepthRates::convnext(0.7).at(0, 1) == 0);
  CHECK(DepthRates::efficientnet(0.7).at(0, 1) == 0);
}

TEST_CASE(
    "DepthRates: the last layer has the last rate, and none a larger one",
    "[depth_rates]") {
  for (const double last : {0.1, 0.3, 1.0 / 3, 0.5, 1.0}) {
    const auto rates = DepthRates::linear_decay(last);
    const auto from_start = DepthRates::linear(last / 7, last);
    for (const int64_t layers : {1, 3, 7, 49, 1000}) {
      CHECK(rates.at(layers - 1, layers) == last);
      CHECK(from_start.at(0, layers) == last / 7);
      CHECK((layers == 1 || from_start.at(layers - 1, layers) == last));
      double before = 0;
      for (const double rate : rates.rates(layers)) {
        CHECK(rate > before);
        before = rate;
      }
      before = 0;
      for (const double rate : from_start.rates(layers)) {
        CHECK(rate > before);
        before = rate;
      }
      CHECK(
          DepthRates::convnext(last).rates(layers) ==
          DepthRates::linear(0, last).rates(layers));
      CHECK(DepthRates::efficientnet(last).at(layers - 1, layers) < last);
    }
  }
}

TEST_CASE("DepthRates: text and back is exact, bit for bit", "[depth_rates]") {
  CHECK(
      DepthRates::linear(0, 0.5).to_string() ==
      "gatedpaths-depth-rates-1:linear(first=0,last=0.5)");
  CHECK(
      DepthRates::linear_decay(0.5).to_string() ==
      "gatedpaths-depth-rates-1:linear_decay(last=0.5)");
  CHECK(
      DepthRates::convnext(0.5).to_string() ==
      "gatedpaths-depth-rates-1:convnext(rate=0.5)");
  CHECK(
      DepthRates::efficientnet(0.5).to_string() ==
      "gatedpaths-depth-rates-1:efficientnet(rate=0.5)");
  CHECK(
      DepthRates::uniform(0.2).to_string() ==
      "gatedpaths-depth-rates-1:uniform(rate=0.2)");
  for (const double rate :
       {0.0,
        1.0,
        0.1,
        1.0 / 3,
        std::numeric_limits<double>::denorm_min(),
        std::nextafter(1.0, 0.0)}) {
    for (const auto& rates :
         {DepthRates::uniform(rate),
          DepthRates::linear(rate, 0.1),
          DepthRates::linear(0.1, rate),
          DepthRates::linear_decay(rate),
          DepthRates::convnext(rate),
          DepthRates::efficientnet(rate)}) {
      CHECK(DepthRates::parse(rates.to_string()) == rates);
    }
  }
  CHECK(DepthRates::uniform(0.5) != DepthRates::linear(0.5, 0.5));
  CHECK(DepthRates::linear(0, 0.5) != DepthRates::convnext(0.5));
  CHECK(DepthRates::linear(0, 0.5) != DepthRates::linear(0.25, 0.5));
  CHECK(DepthRates::efficientnet(0.5) != DepthRates::convnext(0.5));
  CHECK(DepthRates::uniform(0.5) != DepthRates::uniform(0.25));
}

TEST_CASE("DepthRates: errors name the value", "[depth_rates][error]") {
  const auto message = [](const auto& make) {
    return message_of<c10::ValueError>(make);
  };
  CHECK(message([] {
          DepthRates::uniform(1.5);
        }) == "DepthRates::uniform: expected a rate in [0, 1], got rate=1.5");
  CHECK(message([] {
          DepthRates::linear(0, -0.1);
        }) == "DepthRates::linear: expected a rate in [0, 1], got last=-0.1");
  CHECK(message([] {
          DepthRates::linear(std::nan(""), 0);
        }) == "DepthRates::linear: expected a rate in [0, 1], got first=nan");
  CHECK(
      message([] { DepthRates::linear_decay(1.5); }) ==
      "DepthRates::linear_decay: expected a rate in [0, 1], got last=1.5");
  CHECK(message([] {
          DepthRates::convnext(-1);
        }) == "DepthRates::convnext: expected a rate in [0, 1], got rate=-1");
  CHECK(
      message([] { DepthRates::efficientnet(2); }) ==
      "DepthRates::efficientnet: expected a rate in [0, 1], got rate=2");
  CHECK(message([] {
          DepthRates::linear(0, 0.5).rates(0);
        }) == "DepthRates::rates: expected layers >= 1, got 0");
  CHECK(message([] {
          DepthRates::uniform(0.5).at(0, -1);
        }) == "DepthRates::at: expected layers >= 1, got -1");
  const auto out_of_range = [](int64_t layer) {
    return message_of<c10::IndexError>(
        [&] { DepthRates::linear(0, 0.5).at(layer, 4); });
  };
  CHECK(out_of_range(4) == "DepthRates::at: expected a layer in [0, 4), got 4");
  CHECK(
      out_of_range(-1) == "DepthRates::at: expected a layer in [0, 4), got -1");
}

TEST_CASE(
    "DepthRates: a text of another form or version is an error",
    "[depth_rates][error]") {
  const auto message = [](const std::string& text) {
    return message_of<c10::ValueError>([&] { DepthRates::parse(text); });
  };
  CHECK(
      message("gatedpaths-depth-rates-3:linear_decay(last=0.5)") ==
      "DepthRates::parse: expected version 1 of 'gatedpaths-depth-rates', got "
      "version 3 in 'gatedpaths-depth-rates-3:linear_decay(last=0.5)'");
  CHECK(
      message("gatedpaths-depth-rates-1:square(last=0.5)") ==
      "DepthRates::parse: expected 'uniform(', 'linear(', "
      "'linear_decay(', 'convnext(' or 'efficientnet(', got "
      "'square(last=0.5)' in 'gatedpaths-depth-rates-1:square(last=0.5)'");
  CHECK(
      message("gatedpaths-depth-rates-1:linear_decay(rate=0.5)") ==
      "DepthRates::parse: expected 'last=', got 'rate=0.5)' in "
      "'gatedpaths-depth-rates-1:linear_decay(rate=0.5)'");
  CHECK(
      message("gatedpaths-depth-rates-1:linear_decay(last=0.5)+") ==
      "DepthRates::parse: expected the end, got '+' in "
      "'gatedpaths-depth-rates-1:linear_decay(last=0.5)+'");
  CHECK(
      message("gatedpaths-depth-rates-1:linear(last=0.5)") ==
      "DepthRates::parse: expected 'first=', got 'last=0.5)' in "
      "'gatedpaths-depth-rates-1:linear(last=0.5)'");
  CHECK(
      message("gatedpaths-schedule-1:linear_decay(last=0.5)") ==
      "DepthRates::parse: expected 'gatedpaths-depth-rates-', got "
      "'gatedpaths-schedule-1:linear_decay(last=0.5)' in "
      "'gatedpaths-schedule-1:linear_decay(last=0.5)'");
  CHECK(
      message("gatedpaths-depth-rates-1:uniform(rate=2)") ==
      "DepthRates::uniform: expected a rate in [0, 1], got rate=2");
}
