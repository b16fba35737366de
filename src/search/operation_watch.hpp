// SPDX-License-Identifier: MIT
// Counts the operators of a thread. Not installed.
#pragma once

#include <gatedpaths/search/count_convention.hpp>

#include "../branches/operator_watch.hpp"
#include "operation_table.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace gatedpaths::detail {

/// While it lives, is told what each operator of this thread counts as.
class OperationWatch : private OperatorWatch {
 public:
  explicit OperationWatch(CountConvention convention);

  const CountConvention& convention() const noexcept { return convention_; }

 protected:
  virtual void counted(
      const std::string& name, const OperationCount& count) = 0;
  virtual void unknown(const std::string& name) = 0;

 private:
  struct Call {
    const OperatorRule* rule = nullptr;
    bool counts = false;
    std::vector<c10::IValue> arguments;
  };

  void before(const c10::OperatorHandle& op, Values arguments) override;
  void after(const c10::OperatorHandle& op, Values results) override;

  CountConvention convention_;
  int64_t within_ = 0;  // operators that count for all that they call
  std::vector<Call> calls_;
};

}  // namespace gatedpaths::detail
