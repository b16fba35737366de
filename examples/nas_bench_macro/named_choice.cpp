// SPDX-License-Identifier: MIT
#include "named_choice.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace nas_bench_macro {

void require_one_of(
    const std::string& flag,
    const std::string& name,
    const std::vector<std::string>& names) {
  TORCH_CHECK_VALUE(
      std::find(names.begin(), names.end(), name) != names.end(),
      fmt::format(
          "{}: expected one of {}, got '{}'",
          flag,
          fmt::join(names, ", "),
          name));
}

}  // namespace nas_bench_macro
