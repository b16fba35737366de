// SPDX-License-Identifier: MIT
#include "closed_options.hpp"

#include <c10/util/Exception.h>

namespace gatedpaths::detail {

void check_closed_options(
    std::string_view gate_kind,
    Skip skip,
    ClosedValue closed_value,
    bool track_statistics) {
  if (skip == Skip::kNoGrad) {
    return;
  }
  TORCH_CHECK_VALUE(
      closed_value == ClosedValue::kZeros,
      gate_kind,
      ": expected skip=kNoGrad with closed_value=kDetached, got skip=",
      to_string(skip),
      ", under which a closed branch does not run");
  TORCH_CHECK_VALUE(
      !track_statistics,
      gate_kind,
      ": expected skip=kNoGrad with track_statistics=true, got skip=",
      to_string(skip),
      ", under which a closed branch does not run");
}

}  // namespace gatedpaths::detail
