// SPDX-License-Identifier: MIT
#pragma once

#include <c10/util/Exception.h>

#include <string_view>

namespace gatedpaths::detail {

/// Throws `c10::ValueError` for a rate outside `[0, 1]`, or NaN.
inline void check_drop_rate(std::string_view where, double drop_rate) {
  TORCH_CHECK_VALUE(
      drop_rate >= 0 && drop_rate <= 1,
      where,
      ": expected a drop_rate in [0, 1], got ",
      drop_rate);
}

}  // namespace gatedpaths::detail
