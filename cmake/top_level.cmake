# SPDX-License-Identifier: MIT
# What is set for the whole build, and so only where GatedPaths is the whole
# build and not a part of somebody else's.

if(PROJECT_SOURCE_DIR STREQUAL PROJECT_BINARY_DIR)
  message(FATAL_ERROR "build in a folder of its own: cmake --preset dev")
endif()

get_property(multi_config GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
if(NOT multi_config AND NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type." FORCE)
endif()

set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_program(GATEDPATHS_CCACHE ccache DOC "Compiler cache, used when found.")
mark_as_advanced(GATEDPATHS_CCACHE)
if(GATEDPATHS_CCACHE AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${GATEDPATHS_CCACHE}")
endif()
