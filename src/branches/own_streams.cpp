// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/own_streams.hpp>

#include "operator_watch.hpp"

#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/enum_tag.h>
#include <torch/library.h>

#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace gatedpaths::detail {
namespace {

thread_local OwnStreams* innermost_streams = nullptr;

at::Device device_of(const torch::jit::Stack& stack, size_t arguments) {
  for (size_t i = stack.size() - arguments; i < stack.size(); ++i) {
    const auto& value = stack[i];
    if (value.isTensor() && value.toTensor().defined()) {
      return value.toTensor().device();
    }
    if (value.isTensorList() && !value.toTensorList().empty()) {
      const at::Tensor first = value.toTensorList().get(0);
      return first.device();
    }
    if (value.isDevice()) {
      return value.toDevice();
    }
  }
  return at::kCPU;
}

bool is_generator(const c10::Argument& argument) {
  const auto& type = *argument.type();
  if (const auto* optional = type.castRaw<c10::OptionalType>()) {
    return optional->getElementType()->kind() == c10::TypeKind::GeneratorType;
  }
  return type.kind() == c10::TypeKind::GeneratorType;
}

/// The place of the operator's generator on the stack, if it takes one.
std::optional<size_t> generator_place(
    const std::vector<c10::Argument>& arguments,
    const torch::jit::Stack& stack) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (is_generator(arguments[i])) {
      return stack.size() - arguments.size() + i;
    }
  }
  return std::nullopt;
}

/// Keeps the default generator of a device in the state of another one.
class InPlaceOfDefault {
 public:
  explicit InPlaceOfDefault(at::Generator own)
      : own_(std::move(own)),
        default_(at::globalContext().defaultGenerator(own_.device())) {
    const std::scoped_lock lock(default_.mutex());
    kept_ = default_.get_state();
    default_.set_state(own_.get_state());
  }

  ~InPlaceOfDefault() {
    const std::scoped_lock lock(default_.mutex());
    own_.set_state(default_.get_state());
    default_.set_state(kept_);
  }

  InPlaceOfDefault(const InPlaceOfDefault&) = delete;
  InPlaceOfDefault& operator=(const InPlaceOfDefault&) = delete;

 private:
  at::Generator own_;
  at::Generator default_;
  at::Tensor kept_;
};

/// Whether an operator that draws and takes no generator has a kernel for the
/// device, which then draws from the default one, and not an operator that it
/// calls. On the CPU none has.
bool draws_from_default(const c10::OperatorHandle& op, at::Device device) {
  return !device.is_cpu() && !device.is_meta() &&
         op.hasKernelForDispatchKey(
             c10::computeDispatchKey(std::nullopt, std::nullopt, device));
}

/// Calls the operator, with a generator of the own ones where it draws.
void give_own_generator(
    const c10::OperatorHandle& op,
    c10::DispatchKeySet next,
    torch::jit::Stack* stack) {
  auto* streams = OwnStreams::innermost();
  // A thread that an operator starts inherits the way, but no streams.
  if (streams == nullptr) {
    op.redispatchBoxed(next, stack);
    return;
  }
  const auto& arguments = op.schema().arguments();
  if (const auto place = generator_place(arguments, *stack)) {
    const auto device = device_of(*stack, arguments.size());
    if ((*stack)[*place].isNone() && !device.is_meta()) {
      (*stack)[*place] = streams->on(device);
    }
    op.redispatchBoxed(next, stack);
    return;
  }
  if (op.hasTag(at::Tag::nondeterministic_seeded)) {
    const auto device = device_of(*stack, arguments.size());
    if (draws_from_default(op, device)) {
      const InPlaceOfDefault in_place(streams->on(device));
      op.redispatchBoxed(next, stack);
      return;
    }
  }
  op.redispatchBoxed(next, stack);
}

/// The way of every operator within a scope.
template <c10::DispatchKey Key>
void intercept(
    const c10::OperatorHandle& op,
    c10::DispatchKeySet keys,
    torch::jit::Stack* stack) {
  const auto next =
      keys & c10::DispatchKeySet(c10::DispatchKeySet::FULL_AFTER, Key);
  WatchedCall call(op, *stack);
  give_own_generator(op, next, stack);
  call.returned(*stack);
}

/// What takes the operators of a thread past the function above. LibTorch has
/// two dispatch keys that none of its own code uses and that can be switched on
/// for a thread; the second is for a second copy of this library.
class Interception {
 public:
  Interception() {
    using c10::DispatchKey;
    if (!take<DispatchKey::TESTING_ONLY_GenericMode>()) {
      TORCH_CHECK(
          take<DispatchKey::TESTING_ONLY_GenericWrapper>(),
          "gatedpaths: expected at most two copies of the library in one "
          "process, but the fallbacks of both dispatch keys that it can use, ",
          DispatchKey::TESTING_ONLY_GenericMode,
          " and ",
          DispatchKey::TESTING_ONLY_GenericWrapper,
          ", are taken; link it as a shared library");
    }
  }

  c10::DispatchKey key() const { return key_; }

 private:
  template <c10::DispatchKey Key>
  bool take() {
    library_.emplace(
        torch::Library::IMPL, "_", std::make_optional(Key), __FILE__, __LINE__);
    try {
      library_->fallback(
          torch::CppFunction::makeFromBoxedFunction<&intercept<Key>>());
    } catch (const c10::Error&) {
      return false;
    }
    key_ = Key;
    return true;
  }

  std::optional<torch::Library> library_;
  c10::DispatchKey key_ = c10::DispatchKey::Undefined;
};

at::Generator copy_of(at::Generator source) {
  const std::scoped_lock lock(source.mutex());
  return source.clone();
}

}  // namespace

c10::DispatchKey interception_key() {
  static const Interception interception;
  return interception.key();
}

OwnStreams::OwnStreams()
    : outer_(innermost_streams), on_the_way_(interception_key()) {
  innermost_streams = this;
}

OwnStreams::~OwnStreams() { innermost_streams = outer_; }

OwnStreams* OwnStreams::innermost() { return innermost_streams; }

at::Generator OwnStreams::on(at::Device device) {
  const at::Generator standard = at::globalContext().defaultGenerator(device);
  for (const auto& generator : generators_) {
    if (generator.device() == standard.device()) {
      return generator;
    }
  }
  return generators_.emplace_back(
      copy_of(outer_ != nullptr ? outer_->on(device) : standard));
}

}  // namespace gatedpaths::detail
