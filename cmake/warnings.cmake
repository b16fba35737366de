# SPDX-License-Identifier: MIT

# Switches the project's warnings on for one of its own targets. PRIVATE: users
# get none of it, whether they install the library or add it to their build.
function(gatedpaths_warnings target)
  if(NOT PROJECT_IS_TOP_LEVEL OR NOT CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
    return()
  endif()
  target_compile_options(
    ${target}
    PRIVATE -Wall
            -Wextra
            -Wpedantic
            -Wconversion
            -Wshadow
            $<$<BOOL:${GATEDPATHS_WARNINGS_AS_ERRORS}>:-Werror>
            # GCC sees an uninitialised buffer in every inlined c10::SmallVector.
            $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>
  )
endfunction()
