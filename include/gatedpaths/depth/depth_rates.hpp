// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gatedpaths {

/// How the drop rate of a layer follows from its depth: a small value, without
/// a state of its own.
///
/// | rates | layer l of L, l = 0, ..., L - 1 |
/// |---|---|
/// | `uniform(rate)` | rate |
/// | `linear(last)` | last (l + 1) / L |
///
/// The linear rule is the "linear decay" of the stochastic depth paper (Huang
/// et al., arXiv 1603.09382), which numbers layers from 1: early layers, whose
/// features all later ones use, are dropped less. The first layer has
/// `last / L`, not 0.
///
/// Example:
/// ```
/// const auto rates = gatedpaths::DepthRates::linear(0.5);
/// rates.rates(4);                      // {0.125, 0.25, 0.375, 0.5}
/// rates.at(/*layer=*/3, /*layers=*/4); // 0.5
/// ```
class GATEDPATHS_EXPORT DepthRates {
 public:
  /// The same rate for all layers.
  ///
  /// Throws: `c10::ValueError` for a rate outside `[0, 1]`.
  static DepthRates uniform(double rate);

  /// Rates that grow along a straight line to `last`, that of the last layer.
  ///
  /// Throws: `c10::ValueError` for a rate outside `[0, 1]`.
  static DepthRates linear(double last);

  /// The rate of layer `layer` of `layers`, the first being layer 0.
  ///
  /// Throws: `c10::ValueError` for a number of layers below 1;
  /// `c10::IndexError` where there is no such layer.
  double at(int64_t layer, int64_t layers) const;

  /// The rates of all layers, the first one first.
  ///
  /// Throws: `c10::ValueError` for a number of layers below 1.
  std::vector<double> rates(int64_t layers) const;

  /// The rates as text, which `parse` takes back bit for bit:
  /// `gatedpaths-depth-rates-1:linear(last=0.5)` or `...:uniform(rate=0.2)`.
  std::string to_string() const;

  /// The rates that a text of `to_string` stands for.
  ///
  /// Throws: `c10::ValueError`, with the text, for one of another form or
  /// another version, and as the functions above.
  static DepthRates parse(std::string_view text);

  bool operator==(const DepthRates&) const = default;

 private:
  enum class Form : uint8_t { kUniform, kLinear };

  DepthRates(Form form, double rate) : form_(form), rate_(rate) {}

  Form form_;
  double rate_;
};

}  // namespace gatedpaths
