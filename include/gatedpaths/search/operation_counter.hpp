// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/search/count_convention.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <string>

namespace gatedpaths {

/// What was counted of some operators.
struct OperationCount {
  int64_t macs = 0;   ///< Multiply-accumulates, by no convention.
  int64_t flops = 0;  ///< Floating point operations, by the convention.

  bool operator==(const OperationCount&) const = default;
};

/// Counts the operations of all that runs while it lives, on this thread: a
/// forward, a training step, any code that calls LibTorch.
///
/// It looks at the operators that LibTorch dispatches, with their arguments and
/// results, and not at modules: a module of yours counts by what it does, as
/// does a call of a function. An operator that others are made of counts as
/// them, a fused one (an LSTM, attention) by a formula of its own.
///
/// An operator that it does not know, as a library may add one, is listed by
/// name in `unknown()`, and counts as zero: its operations are missing. What a
/// convention leaves out is known, and counts as zero too.
///
/// Backward runs on this thread for tensors on the CPU; for others LibTorch has
/// threads of its own, which are not seen. Counters nest: all of them count.
///
/// Example:
/// ```
/// gatedpaths::OperationCounter counter;
/// net->forward(images).sum().backward();
/// std::cout << counter.macs() << " multiply-accumulates\n";
/// ```
class GATEDPATHS_EXPORT OperationCounter {
 public:
  /// Counts from now on.
  explicit OperationCounter(
      CountConvention convention = CountConvention::torch_flop_counter());
  /// Counts no more.
  ~OperationCounter();
  OperationCounter(const OperationCounter&) = delete;
  OperationCounter& operator=(const OperationCounter&) = delete;

  /// The multiply-accumulates until now.
  int64_t macs() const noexcept;

  /// The floating point operations until now, by the convention.
  int64_t flops() const noexcept;

  /// Both for each operator that had any, by its name (`"aten::addmm"`).
  const std::map<std::string, OperationCount>& by_operator() const& noexcept;

  /// The operators that nothing is known of, by name, with the number of calls.
  const std::map<std::string, int64_t>& unknown() const& noexcept;

  /// What is counted as what.
  const CountConvention& convention() const& noexcept;

 private:
  class Watch;

  std::unique_ptr<Watch> watch_;
};

}  // namespace gatedpaths
