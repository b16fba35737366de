// SPDX-License-Identifier: MIT
#include <gatedpaths/paths/gate_values.hpp>

#include <c10/util/Exception.h>

#include <fmt/format.h>

namespace gatedpaths {

GateValues::GateValues(std::initializer_list<value_type> gates) {
  for (const value_type& gate : gates) {
    TORCH_CHECK_VALUE(
        insert(gate).second,
        fmt::format(
            "GateValues: expected each gate once, got '{}' twice", gate.first));
  }
}

}  // namespace gatedpaths
