// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <torch/nn/module.h>

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

namespace gatedpaths::detail {

/// A module's type for messages, such as "a torch::nn::LinearImpl"; "none" for
/// a null pointer. Not its name(), which a copy may have from its source.
GATEDPATHS_EXPORT std::string type_text(const torch::nn::Module* module);

/// While it lives, `clone_module` copies each module once in this thread, so
/// that what several gates share they go on sharing in a copy of all of them.
class GATEDPATHS_EXPORT SharedClones {
 public:
  SharedClones();
  ~SharedClones();
  SharedClones(const SharedClones&) = delete;
  SharedClones& operator=(const SharedClones&) = delete;

  /// The copies made so far, by the module that they are of.
  std::unordered_map<
      const torch::nn::Module*,
      std::shared_ptr<torch::nn::Module>>
      clones;

 private:
  SharedClones* outer_;
};

/// A deep copy of `module` by its own `clone()`, with what LibTorch's clones
/// forget put right: the train or eval mode of every part, `requires_grad` of
/// every parameter, and the names of a `torch::nn::Sequential`'s children.
///
/// Throws: `c10::TypeError` where a part's copy is of another type, as that of
/// a class without a clone() of its own is; `c10::Error` where one has another
/// number of children.
GATEDPATHS_EXPORT std::shared_ptr<torch::nn::Module> clone_module(
    const torch::nn::Module& module,
    const std::optional<torch::Device>& device);

/// What LibTorch's clones forget, for a module and all below it.
GATEDPATHS_EXPORT void copy_requires_grad(
    const torch::nn::Module& from, torch::nn::Module& to);

}  // namespace gatedpaths::detail
