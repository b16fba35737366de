// SPDX-License-Identifier: MIT
#include <gatedpaths/search/path_metric.hpp>

#include "../text/text.hpp"

#include <ATen/ops/scalar_tensor.h>
#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>

namespace gatedpaths {

at::Tensor PathMetric::as_tensor(double value) {
  return at::scalar_tensor(value, at::kDouble);
}

void PathMetric::check_names() const {
  TORCH_CHECK_VALUE(
      !names_.empty(), "PathMetric: expected at least one name, got none");
  for (auto name = names_.begin(); name != names_.end(); ++name) {
    TORCH_CHECK_VALUE(
        !name->empty() && std::find(names_.begin(), name, *name) == name,
        fmt::format(
            "PathMetric: expected different names that are not empty, got ({})",
            detail::quoted(names_)));
  }
}

}  // namespace gatedpaths
