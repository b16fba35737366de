// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <initializer_list>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace gatedpaths {

/// A number for each branch of one gate, in their order, or one number for all
/// of them. What the numbers are, and which are allowed, is said by who takes
/// them.
///
/// Numbers and lists of numbers turn into it by themselves:
/// ```
/// gatedpaths::BranchValues each = {0.5, 0.25, 0.25};
/// gatedpaths::BranchValues all = 0.5;
/// ```
class BranchValues {
 public:
  /// The same number for all branches.
  BranchValues(double all) : values_{all}, for_all_(true) {}  // NOLINT

  /// One number for each branch; one number in braces is for one branch.
  BranchValues(std::initializer_list<double> each) : values_(each) {}
  /// \overload
  BranchValues(std::vector<double> each)  // NOLINT
      : values_(std::move(each)) {}

  /// The numbers; a single one where it is for all branches.
  const std::vector<double>& values() const& noexcept { return values_; }
  /// \overload
  std::vector<double> values() const&& { return values_; }

  /// Whether one number stands for all branches.
  bool for_all() const noexcept { return for_all_; }

  bool operator==(const BranchValues&) const = default;

 private:
  std::vector<double> values_;
  bool for_all_ = false;
};

/// Numbers for the branches of gates, by the gates' names in the path space
/// (`PathSpace::gate_name`). Samplers say what holds for a gate without any.
///
/// A `std::map` but for how it is made: a gate that is named twice is refused.
///
/// Example:
/// ```
/// gatedpaths::WeightedSampler sampler(
///     space, /*seed=*/7, {{"stem", {1, 2, 1}}, {"cell.op", {0, 1, 3, 1}}});
/// ```
class GATEDPATHS_EXPORT GateValues
    : public std::map<std::string, BranchValues> {
 public:
  /// No numbers for any gate.
  GateValues() = default;

  /// The numbers of these gates.
  ///
  /// Throws: `c10::ValueError`, with the name, for a gate that is named twice.
  GateValues(std::initializer_list<value_type> gates);

  /// The numbers of a map.
  GateValues(std::map<std::string, BranchValues> gates)  // NOLINT
      : std::map<std::string, BranchValues>(std::move(gates)) {}
};

}  // namespace gatedpaths
