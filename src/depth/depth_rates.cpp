// SPDX-License-Identifier: MIT
#include <gatedpaths/depth/depth_rates.hpp>

#include "../text/text_reader.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <cmath>
#include <iterator>

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
  return {Form::kUniform, rate, rate};
}

DepthRates DepthRates::linear(double first, double last) {
  check_rate("linear", "first", first);
  check_rate("linear", "last", last);
  return {Form::kLinear, first, last};
}

DepthRates DepthRates::linear_decay(double last) {
  check_rate("linear_decay", "last", last);
  return {Form::kLinearDecay, 0, last};
}

DepthRates DepthRates::convnext(double rate) {
  check_rate("convnext", "rate", rate);
  return {Form::kConvNeXt, 0, rate};
}

DepthRates DepthRates::efficientnet(double rate) {
  check_rate("efficientnet", "rate", rate);
  return {Form::kEfficientNet, 0, rate};
}

double DepthRates::at(int64_t layer, int64_t layers) const {
  check_layers("at", layers);
  TORCH_CHECK_INDEX(
      0 <= layer && layer < layers,
      fmt::format(
          "DepthRates::at: expected a layer in [0, {}), got {}",
          layers,
          layer));
  const auto position = static_cast<double>(layer);
  const auto count = static_cast<double>(layers);
  // The quotient first: it is exactly 1 where the line ends.
  switch (form_) {
    case Form::kLinearDecay:
      return last_ * ((position + 1) / count);
    case Form::kEfficientNet:
      return last_ * (position / count);
    case Form::kUniform:
    case Form::kLinear:
    case Form::kConvNeXt:
      break;
  }
  return layers == 1 ? first_
                     : std::lerp(first_, last_, position / (count - 1));
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
  const auto text = [&](const auto&... parts) {
    std::string joined = fmt::format("{}-{}:", kRatesFamily, kRatesVersion);
    (fmt::format_to(std::back_inserter(joined), "{}", parts), ...);
    return joined + ")";
  };
  switch (form_) {
    case Form::kUniform:
      return text("uniform(rate=", last_);
    case Form::kLinear:
      return text("linear(first=", first_, ",last=", last_);
    case Form::kLinearDecay:
      return text("linear_decay(last=", last_);
    case Form::kConvNeXt:
      return text("convnext(rate=", last_);
    case Form::kEfficientNet:
      break;
  }
  return text("efficientnet(rate=", last_);
}

DepthRates DepthRates::parse(std::string_view text) {
  detail::TextReader reader("DepthRates::parse", text);
  reader.version(kRatesFamily, kRatesVersion);
  DepthRates rates = uniform(0);
  if (reader.skip("uniform(")) {
    rates = uniform(reader.number("rate"));
  } else if (reader.skip("linear(")) {
    const double first = reader.number("first");
    reader.expect(",");
    rates = linear(first, reader.number("last"));
  } else if (reader.skip("linear_decay(")) {
    rates = linear_decay(reader.number("last"));
  } else if (reader.skip("convnext(")) {
    rates = convnext(reader.number("rate"));
  } else if (reader.skip("efficientnet(")) {
    rates = efficientnet(reader.number("rate"));
  } else {
    reader.fail(
        "'uniform(', 'linear(', 'linear_decay(', 'convnext(' or "
        "'efficientnet('");
  }
  reader.expect(")");
  reader.end();
  return rates;
}

}  // namespace gatedpaths
