// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/restorable.hpp>

namespace gatedpaths::detail {
namespace {

thread_local int64_t num_restorables = 0;

}  // namespace

// Here, so that there is one type_info for all who cast to it.
KeptState::~KeptState() = default;

Restorable::Restorable() noexcept { ++num_restorables; }

Restorable::Restorable(const Restorable& /*other*/) noexcept : Restorable() {}

Restorable::Restorable(Restorable&& /*other*/) noexcept : Restorable() {}

Restorable::~Restorable() { --num_restorables; }

int64_t Restorable::num_living() noexcept { return num_restorables; }

}  // namespace gatedpaths::detail
