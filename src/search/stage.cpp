// SPDX-License-Identifier: MIT
#include <gatedpaths/search/stage.hpp>

#include <c10/util/Exception.h>

namespace gatedpaths {

Stage::Stage(const AnyBranch& module) : module_(module.ptr().get()) {
  TORCH_CHECK_VALUE(
      module, "Stage: expected a module, got an empty holder or pointer");
  function_ = [module](const at::Tensor& input) {
    return module.forward(input);
  };
}

}  // namespace gatedpaths
