// SPDX-License-Identifier: MIT
#include <gatedpaths/depth/depth_rates.hpp>

#include <cmath>
#include <limits>

#include "support/catch.hpp"
#include "support/errors.hpp"

using gatedpaths::DepthRates;
using gatedpaths::test::message_of;

TEST_CASE("DepthRates: rates follow the formula", "[depth_rates]") {
  CHECK(
      DepthRates::linear(0.5).rates(4) ==
      std::vector<double>{0.125, 0.25, 0.375, 0.5});
  CHECK(DepthRates::uniform(0.2).rates(3) == std::vector<double>(3, 0.2));
  CHECK(DepthRates::linear(0.7).rates(1) == std::vector<double>{0.7});
  CHECK(DepthRates::linear(0).rates(2) == std::vector<double>(2, 0.0));
  CHECK(DepthRates::linear(1).at(1, 2) == 1);
  CHECK(DepthRates::uniform(1).at(0, 2) == 1);
}

TEST_CASE(
    "DepthRates: the last layer has the last rate, and none a larger one",
    "[depth_rates]") {
  for (const double last : {0.1, 0.3, 1.0 / 3, 0.5, 1.0}) {
    const auto rates = DepthRates::linear(last);
    for (const int64_t layers : {1, 3, 7, 49, 1000}) {
      CHECK(rates.at(layers - 1, layers) == last);
      double before = 0;
      for (const double rate : rates.rates(layers)) {
        CHECK(rate > before);
        before = rate;
      }
    }
  }
}

TEST_CASE("DepthRates: text and back is exact, bit for bit", "[depth_rates]") {
  CHECK(
      DepthRates::linear(0.5).to_string() ==
      "gatedpaths-depth-rates-1:linear(last=0.5)");
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
         {DepthRates::uniform(rate), DepthRates::linear(rate)}) {
      CHECK(DepthRates::parse(rates.to_string()) == rates);
    }
  }
  CHECK(DepthRates::uniform(0.5) != DepthRates::linear(0.5));
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
          DepthRates::linear(-0.1);
        }) == "DepthRates::linear: expected a rate in [0, 1], got last=-0.1");
  CHECK(message([] {
          DepthRates::linear(std::nan(""));
        }) == "DepthRates::linear: expected a rate in [0, 1], got last=nan");
  CHECK(message([] {
          DepthRates::linear(0.5).rates(0);
        }) == "DepthRates::rates: expected layers >= 1, got 0");
  CHECK(message([] {
          DepthRates::uniform(0.5).at(0, -1);
        }) == "DepthRates::at: expected layers >= 1, got -1");
  const auto out_of_range = [](int64_t layer) {
    return message_of<c10::IndexError>(
        [&] { DepthRates::linear(0.5).at(layer, 4); });
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
      message("gatedpaths-depth-rates-3:linear(last=0.5)") ==
      "DepthRates::parse: expected version 1 of 'gatedpaths-depth-rates', got "
      "version 3 in 'gatedpaths-depth-rates-3:linear(last=0.5)'");
  CHECK(
      message("gatedpaths-depth-rates-1:square(last=0.5)") ==
      "DepthRates::parse: expected 'uniform(' or 'linear(', got "
      "'square(last=0.5)' in 'gatedpaths-depth-rates-1:square(last=0.5)'");
  CHECK(
      message("gatedpaths-depth-rates-1:linear(rate=0.5)") ==
      "DepthRates::parse: expected 'last=', got 'rate=0.5)' in "
      "'gatedpaths-depth-rates-1:linear(rate=0.5)'");
  CHECK(
      message("gatedpaths-depth-rates-1:linear(last=0.5)+") ==
      "DepthRates::parse: expected the end, got '+' in "
      "'gatedpaths-depth-rates-1:linear(last=0.5)+'");
  CHECK(
      message("gatedpaths-schedule-1:linear(last=0.5)") ==
      "DepthRates::parse: expected 'gatedpaths-depth-rates-', got "
      "'gatedpaths-schedule-1:linear(last=0.5)' in "
      "'gatedpaths-schedule-1:linear(last=0.5)'");
  CHECK(
      message("gatedpaths-depth-rates-1:uniform(rate=2)") ==
      "DepthRates::uniform: expected a rate in [0, 1], got rate=2");
}
