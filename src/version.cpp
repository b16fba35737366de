// SPDX-License-Identifier: MIT
#include <gatedpaths/version.hpp>

#define GATEDPATHS_QUOTE_(x) #x
#define GATEDPATHS_QUOTE(x) GATEDPATHS_QUOTE_(x)

namespace gatedpaths {

std::string_view version() noexcept {
  return GATEDPATHS_QUOTE(GATEDPATHS_VERSION_MAJOR) "." GATEDPATHS_QUOTE(
      GATEDPATHS_VERSION_MINOR) "." GATEDPATHS_QUOTE(GATEDPATHS_VERSION_PATCH);
}

}  // namespace gatedpaths
