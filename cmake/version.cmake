# SPDX-License-Identifier: MIT
# Sets GATEDPATHS_VERSION from the macros of version.hpp. Included before
# project(), which takes the number.

set(GATEDPATHS_VERSION "")
foreach(part IN ITEMS MAJOR MINOR PATCH)
  file(STRINGS "${CMAKE_CURRENT_LIST_DIR}/../include/gatedpaths/version.hpp" line
       REGEX "^#define GATEDPATHS_VERSION_${part} [0-9]+$"
  )
  if(NOT line MATCHES "([0-9]+)$")
    message(FATAL_ERROR "version.hpp does not define GATEDPATHS_VERSION_${part}")
  endif()
  list(APPEND GATEDPATHS_VERSION "${CMAKE_MATCH_1}")
endforeach()
list(JOIN GATEDPATHS_VERSION "." GATEDPATHS_VERSION)
