// SPDX-License-Identifier: MIT
// What branches returned for one input, for the next open set that they are in.
// Not installed.
#pragma once

#include <gatedpaths/branches/detail/input_watch.hpp>
#include <gatedpaths/export.hpp>

#include <ATen/core/Tensor.h>
#include <c10/util/FunctionRef.h>
#include <torch/nn/module.h>

#include <unordered_map>

namespace gatedpaths::detail {

/// Keeps what modules that are branches returned for an input, and gives it
/// where they would run on that again. For forwards without a graph, whose
/// modules return the same each time.
class GATEDPATHS_EXPORT BranchReuse {
 public:
  /// While it lives, branches that run on this thread, and get `input` itself,
  /// are served by `reuse`. The input stays as it is from the first scope to
  /// `clear`.
  class GATEDPATHS_EXPORT Scope {
   public:
    Scope(BranchReuse& reuse, const at::Tensor& input);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    BranchReuse* outer_;
  };

  /// What serves the branches of this thread now; null for nothing.
  static BranchReuse* current();

  /// Lets the outputs of this module be kept.
  void add(const torch::nn::Module& module) { kept_[&module]; }

  /// Whether the outputs of no module are.
  bool is_idle() const noexcept { return kept_.empty(); }

  /// Forgets the outputs.
  void clear();

  /// What the module returned for the scope's input; what `run` returns where
  /// that is not kept, another input, or was changed in place since.
  at::Tensor get(
      const torch::nn::Module& module,
      const at::Tensor& input,
      c10::function_ref<at::Tensor()> run);

 private:
  struct Kept {
    at::Tensor output{};
    InputWatch watch{};  // of what was last handed out
  };

  bool is_input(const at::Tensor& tensor) const;

  std::unordered_map<const torch::nn::Module*, Kept> kept_;
  at::Tensor input_;  // within a scope
};

}  // namespace gatedpaths::detail
