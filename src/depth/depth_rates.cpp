// SPDX-License-Identifier: MIT
#include <gatedpaths/depth/depth_rates.hpp>

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include "../text/text_reader.hpp"

namespace gatedpaths {
namespace {

constexpr std::string_view kRatesFamily = "gatedpaths-depth-rates";
constexpr int64_t kRatesVersion = 1;

void check_rate(std::string_view method, std::string_view name, double rate) {
  TORCH_CHECK_VALUE(
      0 <= rate && rate <= 1,
      fmt::format(
          "DepthRates::{}: expected a rate in [0, 1], got {}={}",
          method,
          name,
          rate));
}

void check_layers(std::string_view method, int64_t layers) {
  TORCH_CHECK_VALUE(
      layers >= 1,
      fmt::format(
          "DepthRates::{}: expected layers >= 1, got {}", method, layers));
}

}  // namespace

DepthRates DepthRates::uniform(double rate) {
  check_rate("uniform", "rate", rate);
  return {Form::kUniform, rate};
}

DepthRates DepthRates::linear(double last) {
  check_rate("linear", "last", last);
  return {Form::kLinear, last};
}

double DepthRates::at(int64_t layer, int64_t layers) const {
  check_layers("at", layers);
  TORCH_CHECK_INDEX(
      0 <= layer && layer < layers,
      fmt::format(
          "DepthRates::at: expected a layer in [0, {}), got {}",
          layers,
          layer));
  if (form_ == Form::kUniform) {
    return rate_;
  }
  // The quotient first: it is exactly 1 for the last layer.
  return rate_ * (static_cast<double>(layer + 1) / static_cast<double>(layers));
}

std::vector<double> DepthRates::rates(int64_t layers) const {
  check_layers("rates", layers);
  std::vector<double> result;
  for (int64_t layer = 0; layer < layers; ++layer) {
    result.push_back(at(layer, layers));
  }
  return result;
}

std::string DepthRates::to_string() const {
  return fmt::format(
      "{}-{}:{}={})",
      kRatesFamily,
      kRatesVersion,
      form_ == Form::kUniform ? "uniform(rate" : "linear(last",
      rate_);
}

DepthRates DepthRates::parse(std::string_view text) {
  detail::TextReader reader("DepthRates::parse", text);
  reader.version(kRatesFamily, kRatesVersion);
  DepthRates rates = uniform(0);
  if (reader.skip("uniform(")) {
    rates = uniform(reader.number("rate"));
  } else if (reader.skip("linear(")) {
    rates = linear(reader.number("last"));
  } else {
    reader.fail("'uniform(' or 'linear('");
  }
  reader.expect(")");
  reader.end();
  return rates;
}

}  // namespace gatedpaths
