// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/any_branch.hpp>

#include <gatedpaths/branches/detail/clone_module.hpp>

#include <c10/util/Exception.h>

#include <utility>

namespace gatedpaths {

AnyBranch AnyBranch::clone(const std::optional<torch::Device>& device) const {
  TORCH_CHECK(module_, "AnyBranch::clone: expected a module, got none");
  return rebind(detail::clone_module(*module_, device));
}

AnyBranch AnyBranch::rebind(std::shared_ptr<torch::nn::Module> module) const {
  TORCH_CHECK(module_, "AnyBranch::rebind: expected a module, got none");
  AnyBranch branch = *this;
  branch.module_ = std::move(module);
  branch.impl_ = cast_(branch.module_.get());
  TORCH_CHECK_TYPE(
      branch.impl_ != nullptr,
      "AnyBranch::rebind: expected ",
      detail::type_text(module_.get()),
      ", got ",
      detail::type_text(branch.module_.get()));
  return branch;
}

}  // namespace gatedpaths
