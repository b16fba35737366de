// SPDX-License-Identifier: MIT
#include "operation_watch.hpp"

#include <utility>

namespace gatedpaths::detail {

OperationWatch::OperationWatch(CountConvention convention)
    : convention_(std::move(convention)) {}

void OperationWatch::before(const c10::OperatorHandle& op, Values arguments) {
  Call& call = calls_.emplace_back();
  if (within_ > 0) {
    return;
  }
  call.rule = &rule_of(op);
  if (call.rule->kind == OperatorRule::Kind::kCounts) {
    ++within_;
    call.counts = true;
    call.arguments.assign(arguments.begin(), arguments.end());
  } else if (call.rule->kind == OperatorRule::Kind::kUnknown) {
    unknown(call.rule->name);
  }
}

void OperationWatch::after(const c10::OperatorHandle& /*op*/, Values results) {
  const Call call = std::move(calls_.back());
  calls_.pop_back();
  if (!call.counts) {
    return;
  }
  --within_;
  if (!results.empty()) {
    counted(
        call.rule->name,
        call.rule->formula(convention_, call.arguments, results));
  }
}

}  // namespace gatedpaths::detail
