// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/detail/branch_label.hpp>
#include <gatedpaths/branches/detail/restorable.hpp>
#include <gatedpaths/export.hpp>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_set>
#include <vector>

namespace gatedpaths::detail {

/// What forwards change in a module and in all below it, which it puts back
/// when it goes: the values, sizes and versions of registered buffers, also
/// where others have their memory, and of the weights that an embedding
/// renormalises (`max_norm`); training flags; what each `Restorable` remembers.
///
/// Parameters are not copied, since that would cost in each forward: it is only
/// seen that they did not change.
class GATEDPATHS_EXPORT KeptModule {
 public:
  /// `track_statistics` leaves the buffers to the module.
  KeptModule(torch::nn::Module& module, bool track_statistics);
  ~KeptModule();
  KeptModule(const KeptModule&) = delete;
  KeptModule& operator=(const KeptModule&) = delete;

  /// Throws where there is something that cannot be put back: a parameter that
  /// was changed, or a parameter, buffer or module that was registered.
  void check(const BranchLabel& branch) const;

 private:
  struct Part {
    torch::nn::Module* module;
    std::shared_ptr<torch::nn::Module> owner;  // null for the root
    bool training;
    size_t registered;
  };
  struct Kept {
    at::Tensor live;
    at::Tensor original;  // its sizes and memory, with a version of its own
    at::Tensor values;    // of all of the memory, where others have it too
    int64_t version;
  };
  struct Watched {
    at::Tensor live;
    const void* memory;
    int64_t version;
  };

  KeptModule() = default;

  void keep(
      torch::nn::Module& module,
      const std::shared_ptr<torch::nn::Module>& owner,
      bool track_statistics);
  void keep_tensor(const at::Tensor& tensor);
  void watch_parameters(const torch::nn::Module& module);

  std::vector<Part> parts_;  // a parent before its children
  std::vector<Kept> tensors_;
  std::vector<Watched> parameters_;
  std::vector<std::unique_ptr<KeptState>> states_;
  std::unordered_set<const void*> seen_;
};

}  // namespace gatedpaths::detail
