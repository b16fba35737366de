// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/network_ref.hpp>

#include <c10/util/Exception.h>

namespace gatedpaths {

torch::nn::Module& NetworkRef::module(std::string_view function) const {
  TORCH_CHECK_VALUE(
      module_ != nullptr, function, ": expected a network, got none");
  return *module_;
}

}  // namespace gatedpaths
