// SPDX-License-Identifier: MIT
// Sees the operators that LibTorch dispatches. Not installed.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/ivalue.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <c10/util/ArrayRef.h>

namespace gatedpaths::detail {

/// While it lives, is told of each operator of this thread, also of those that
/// another one calls. All of several that live are told.
///
/// At the dispatcher, since LibTorch's own `RecordFunction` does not give the
/// arguments to code that is compiled without NDEBUG while LibTorch was not.
class OperatorWatch {
 public:
  using Values = c10::ArrayRef<c10::IValue>;

  OperatorWatch();
  virtual ~OperatorWatch();
  OperatorWatch(const OperatorWatch&) = delete;
  OperatorWatch& operator=(const OperatorWatch&) = delete;

 protected:
  /// An operator begins; they nest.
  virtual void before(const c10::OperatorHandle& op, Values arguments) = 0;
  /// The one that began last ends. `results` is empty where it threw.
  virtual void after(const c10::OperatorHandle& op, Values results) = 0;

 private:
  friend class WatchedCall;

  OperatorWatch* outer_;
  c10::impl::IncludeDispatchKeyGuard on_the_way_;
};

/// One call of an operator, for all watches of this thread.
class WatchedCall {
 public:
  WatchedCall(const c10::OperatorHandle& op, const torch::jit::Stack& stack);
  ~WatchedCall();
  WatchedCall(const WatchedCall&) = delete;
  WatchedCall& operator=(const WatchedCall&) = delete;

  /// It has returned, with its results on the stack.
  void returned(const torch::jit::Stack& stack);

 private:
  const c10::OperatorHandle& op_;
  OperatorWatch* innermost_;
};

/// The dispatch key that takes the operators of a thread past this library.
c10::DispatchKey interception_key();

}  // namespace gatedpaths::detail
