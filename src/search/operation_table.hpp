// SPDX-License-Identifier: MIT
// What is known of LibTorch's operators. Not installed.
#pragma once

#include <gatedpaths/search/count_convention.hpp>
#include <gatedpaths/search/operation_counter.hpp>

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/ivalue.h>
#include <c10/util/ArrayRef.h>

#include <string>

namespace gatedpaths::detail {

using Values = c10::ArrayRef<c10::IValue>;

/// Multiply-accumulates and elements that the convention weighs.
using Formula = OperationCount (*)(
    const CountConvention& convention, Values inputs, Values outputs);

/// What an operator is.
struct OperatorRule {
  enum class Kind {
    kCounts,       ///< By `formula`; what it calls counts no more.
    kIsItsParts,   ///< Made of operators, which count.
    kComputesNot,  ///< Moves, makes or views.
    kUnknown,
  };

  Kind kind = Kind::kUnknown;
  Formula formula = nullptr;
  std::string name;
};

/// The rule for an operator; the reference stays valid.
const OperatorRule& rule_of(const c10::OperatorHandle& op);

}  // namespace gatedpaths::detail
