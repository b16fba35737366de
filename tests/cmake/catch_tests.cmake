# SPDX-License-Identifier: MIT

# Warnings, and less optimisation than the library has: what the tests are for is how
# that was compiled, and half of their own compile time would go into it. All that share
# the precompiled headers need the same.
function(gatedpaths_test_options target)
  gatedpaths_warnings(${target})
  if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
    target_compile_options(
      ${target} PRIVATE $<$<CONFIG:Release>:-O1> $<$<CONFIG:Debug>:-O0>
    )
  endif()
endfunction()

# gatedpaths_catch_tests(<target> LABEL <label> SOURCES <file>... [LIBRARIES <lib>...]
#                        [PROPERTIES <name> <value>...])
#
# A test program, each of whose cases is the CTest test "<label>.<case>"; with
# GATEDPATHS_TESTS_TOGETHER, where starting a program is dear, each half of them is
# one test. Each case starts from a seed of its own (support/seeded_tests.cpp). It
# shares the precompiled headers of the first one, gatedpaths_unit.
function(gatedpaths_catch_tests target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "LABEL" "SOURCES;LIBRARIES;PROPERTIES")
  add_executable(
    ${target} ${arg_SOURCES} "${PROJECT_SOURCE_DIR}/tests/support/seeded_tests.cpp"
  )
  target_include_directories(
    ${target} PRIVATE "${PROJECT_SOURCE_DIR}/tests" "${PROJECT_SOURCE_DIR}"
  )
  target_link_libraries(
    ${target} PRIVATE GatedPaths::GatedPaths fmt::fmt-header-only
                      Catch2::Catch2WithMain ${arg_LIBRARIES}
  )
  gatedpaths_test_options(${target})
  if(GATEDPATHS_PCH AND target STREQUAL "gatedpaths_unit")
    target_precompile_headers(
      ${target} PRIVATE "${PROJECT_SOURCE_DIR}/tests/support/catch.hpp"
    )
  elseif(GATEDPATHS_PCH)
    target_precompile_headers(${target} REUSE_FROM gatedpaths_unit)
  endif()
  # One thread each: CTest runs as many at once as there are cores.
  if(GATEDPATHS_TESTS_TOGETHER)
    foreach(half IN ITEMS 0 1)
      add_test(
        NAME ${arg_LABEL}.half_${half} COMMAND ${target} --shard-count 2 --shard-index
                                               ${half} --order decl
      )
      set_tests_properties(
        ${arg_LABEL}.half_${half}
        PROPERTIES LABELS ${arg_LABEL} ENVIRONMENT "OMP_NUM_THREADS=1"
                   SKIP_RETURN_CODE 4 ${arg_PROPERTIES} # all cases skipped
      )
    endforeach()
    return()
  endif()
  catch_discover_tests(
    ${target}
    TEST_PREFIX "${arg_LABEL}."
    DISCOVERY_MODE PRE_TEST
    PROPERTIES LABELS ${arg_LABEL} ENVIRONMENT "OMP_NUM_THREADS=1" ${arg_PROPERTIES}
  )
endfunction()
