// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <string_view>

/// The version of these headers. CMake reads the three numbers from here; they
/// stand nowhere else.
#define GATEDPATHS_VERSION_MAJOR 0
/// The second one.
#define GATEDPATHS_VERSION_MINOR 1
/// The third one.
#define GATEDPATHS_VERSION_PATCH 0

/// The same as one number that can be compared: `major * 10000 + minor * 100 +
/// patch`.
#define GATEDPATHS_VERSION                                             \
  (GATEDPATHS_VERSION_MAJOR * 10000 + GATEDPATHS_VERSION_MINOR * 100 + \
   GATEDPATHS_VERSION_PATCH)

namespace gatedpaths {

/// The version of the compiled library as `"major.minor.patch"`. It differs
/// from the macros above where headers and library come from different
/// installs.
GATEDPATHS_EXPORT std::string_view version() noexcept;

}  // namespace gatedpaths
