// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/argument_rule.hpp>
#include <gatedpaths/branches/detail/branch_state.hpp>
#include <gatedpaths/branches/detail/input_signature.hpp>
#include <gatedpaths/branches/detail/known_output.hpp>
#include <gatedpaths/branches/detail/lru_map.hpp>
#include <gatedpaths/branches/detail/output_spec.hpp>
#include <gatedpaths/export.hpp>

#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>
#include <torch/nn/module.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace gatedpaths::detail {

/// What the first tensor of an input looks like: enough to make another of the
/// same kind.
struct GATEDPATHS_EXPORT InputKind {
  std::vector<int64_t> sizes;  // without the batch dim
  bool has_batch = true;       // false for an input without dims
  at::ScalarType dtype = at::kFloat;
  at::Device device = at::kCPU;
  at::MemoryFormat memory_format = at::MemoryFormat::Contiguous;
  std::optional<at::ScalarType> autocast;  // its dtype, where it is on

  static InputKind of(const at::Tensor& input);
  /// Zeros of this kind; `samples` of them.
  at::Tensor zeros(int64_t samples) const;
};

/// What the branches of one gate return for one kind of input.
struct GATEDPATHS_EXPORT OutputEntry {
  InputSignature signature;
  InputKind input;
  std::shared_ptr<ArgumentRules> numbers;  // null where the input has none
  std::optional<OutputSpec> trusted;       // what the last trusted rule gave
  uint64_t forward = 0;                    // the gate's, that last asked for it
  bool is_past = false;  // of what the branches were before they were moved

  /// What is known of a branch in one state; null where nothing is.
  KnownOutput* find(int64_t branch, uint64_t state) {
    auto& known = branches[static_cast<size_t>(branch)];
    return !known.empty() && (is_past || known.front().state == state)
               ? known.front().output.get()
               : find_behind(branch, state);
  }
  /// The same, made where there is nothing.
  KnownOutput& at(int64_t branch, uint64_t state);

  /// Whether nothing is known of the branch, in whatever state and with
  /// whatever numbers.
  bool is_new_to(int64_t branch) const {
    return branches[static_cast<size_t>(branch)].empty() &&
           (numbers == nullptr || numbers->is_empty());
  }
  void forget(int64_t branch, uint64_t state);

  struct InState {
    uint64_t state;
    std::unique_ptr<KnownOutput> output;
  };
  std::vector<std::vector<InState>> branches;  // of each, most recent first

 private:
  KnownOutput* find_behind(int64_t branch, uint64_t state);
};

/// Remembers what each branch returned, so that zeros can stand in for it. A
/// copy remembers nothing.
class GATEDPATHS_EXPORT OutputMemory {
 public:
  explicit OutputMemory(size_t branches) : states_(branches) {}
  OutputMemory(const OutputMemory& other) : states_(other.states_.size()) {}
  OutputMemory& operator=(const OutputMemory& other) {
    if (this != &other) {
      clear();
      states_ = std::vector<BranchState>(other.states_.size());
    }
    return *this;
  }
  ~OutputMemory() = default;

  /// The entry for inputs like this one, which has a tensor; made where there
  /// is none. To be asked for once a forward.
  const std::shared_ptr<OutputEntry>& entry(const InputSignature& signature) {
    if (!last_ || !(last_->signature == signature)) {
      find_or_make(signature);
    }
    last_->forward = ++forwards_;
    return last_;
  }

  /// Keeps the last entry. Those for numbers, which may never come again, are
  /// else gone with the next.
  void keep_last();

  /// Forgets all but what branches returned in the entry's last forward: since
  /// one of them returns something else than it did, what is remembered of the
  /// others may no longer hold either.
  void forget_all_before(OutputEntry& entry);

  /// What in the branch itself decides the shape of its output.
  uint64_t state(int64_t branch, const torch::nn::Module& module) {
    return states_[static_cast<size_t>(branch)].of(module);
  }

  /// Forgets everything, as after a move to another dtype. An entry that is
  /// still held, by slots, goes on describing what was before.
  void clear() noexcept;

 private:
  using Entry = std::shared_ptr<OutputEntry>;
  using Rules = std::shared_ptr<ArgumentRules>;

  // Inputs of ever new sizes must not grow the memory without bound.
  static constexpr size_t kMaxKinds = 4096;

  void find_or_make(const InputSignature& signature);

  std::vector<BranchState> states_;
  uint64_t forwards_ = 0;
  Entry last_;
  LruMap<InputSignature, Entry, SignatureHash> entries_{kMaxKinds};
  LruMap<InputSignature, Rules, SignatureHash> rules_{kMaxKinds};
};

/// Whether `spec` is of something that was really returned, and describes this
/// output for this batch.
GATEDPATHS_EXPORT bool describes(
    const OutputSpec& spec, c10::ArrayRef<at::Tensor> output, int64_t batch);

}  // namespace gatedpaths::detail
