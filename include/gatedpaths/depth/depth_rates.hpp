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
/// | rates | layer l of L, l = 0, ..., L - 1 | as in |
/// |---|---|---|
/// | `uniform(rate)` | rate | |
/// | `linear(first, last)` | first + (last - first) l / (L - 1) | timm |
/// | `linear_decay(last)` | last (l + 1) / L | the paper |
/// | `convnext(rate)` | rate l / (L - 1) | torchvision's ConvNeXt |
/// | `efficientnet(rate)` | rate l / L | torchvision's EfficientNet |
///
/// All but the first are straight lines: early layers, whose features all later
/// ones use, are dropped less. They differ at the ends. timm's `drop_path_rate`
/// of r is `linear(0, r)`, from 0 to r itself, and so is torchvision's
/// ConvNeXt. In its EfficientNet the last layer does not reach the rate. In the
/// stochastic depth paper (Huang et al., arXiv 1603.09382), which numbers
/// layers from 1 and calls its rule "linear decay", the first layer has `last /
/// L`, not 0. Where there is a single layer, it has the last rate by the
/// paper's rule, and the first by the others.
///
/// Example:
/// ```
/// const auto rates = gatedpaths::DepthRates::linear_decay(0.5);
/// rates.rates(4);                      // {0.125, 0.25, 0.375, 0.5}
/// rates.at(/*layer=*/3, /*layers=*/4); // 0.5
/// ```
class GATEDPATHS_EXPORT DepthRates {
 public:
  /// The same rate for all layers.
  ///
  /// Throws: `c10::ValueError` for a rate outside `[0, 1]`.
  static DepthRates uniform(double rate);

  /// Rates along a straight line from `first`, that of the first layer, to
  /// `last`, that of the last.
  ///
  /// Throws: `c10::ValueError` for a rate outside `[0, 1]`.
  static DepthRates linear(double first, double last);

  /// Rates that grow along a straight line from 0, that of the network's input,
  /// to `last`, that of the last layer.
  ///
  /// Throws: `c10::ValueError` for a rate outside `[0, 1]`.
  static DepthRates linear_decay(double last);

  /// Rates that grow from 0, that of the first layer, to `rate`. Equal to
  /// `linear(0, rate)` in all but its name.
  ///
  /// Throws: `c10::ValueError` for a rate outside `[0, 1]`.
  static DepthRates convnext(double rate);

  /// Rates that grow from 0, that of the first layer, to `rate`, which a layer
  /// behind the last would have.
  ///
  /// Throws: `c10::ValueError` for a rate outside `[0, 1]`.
  static DepthRates efficientnet(double rate);

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
  /// `gatedpaths-depth-rates-1:linear(first=0,last=0.5)`,
  /// `...:linear_decay(last=0.5)`, `...:convnext(rate=0.2)` and so on.
  std::string to_string() const;

  /// The rates that a text of `to_string` stands for.
  ///
  /// Throws: `c10::ValueError`, with the text, for one of another form or
  /// another version, and as the functions above.
  static DepthRates parse(std::string_view text);

  bool operator==(const DepthRates&) const = default;

 private:
  enum class Form : uint8_t {
    kUniform,
    kLinear,
    kLinearDecay,
    kConvNeXt,
    kEfficientNet
  };

  DepthRates(Form form, double first, double last)
      : form_(form), first_(first), last_(last) {}

  Form form_;
  double first_;
  double last_;
};

}  // namespace gatedpaths
