// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/restorable.hpp>

namespace gatedpaths::detail {

// Here, so that there is one type_info for all who cast to them.
KeptState::~KeptState() = default;
Restorable::~Restorable() = default;

}  // namespace gatedpaths::detail
