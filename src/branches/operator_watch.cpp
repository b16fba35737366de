// SPDX-License-Identifier: MIT
#include "operator_watch.hpp"

namespace gatedpaths::detail {
namespace {

thread_local OperatorWatch* innermost_operator_watch = nullptr;

OperatorWatch::Values last_of(const torch::jit::Stack& stack, size_t count) {
  return OperatorWatch::Values(stack).slice(stack.size() - count);
}

}  // namespace

OperatorWatch::OperatorWatch()
    : outer_(innermost_operator_watch), on_the_way_(interception_key()) {
  innermost_operator_watch = this;
}

OperatorWatch::~OperatorWatch() { innermost_operator_watch = outer_; }

WatchedCall::WatchedCall(
    const c10::OperatorHandle& op, const torch::jit::Stack& stack)
    : op_(op), innermost_(innermost_operator_watch) {
  // A thread that an operator starts inherits the way, but no watch.
  for (auto* watch = innermost_; watch != nullptr; watch = watch->outer_) {
    watch->before(op, last_of(stack, op.schema().arguments().size()));
  }
}

WatchedCall::~WatchedCall() {
  for (auto* watch = innermost_; watch != nullptr; watch = watch->outer_) {
    watch->after(op_, {});
  }
}

void WatchedCall::returned(const torch::jit::Stack& stack) {
  for (auto* watch = innermost_; watch != nullptr; watch = watch->outer_) {
    watch->after(op_, last_of(stack, op_.schema().returns().size()));
  }
  innermost_ = nullptr;
}

}  // namespace gatedpaths::detail
