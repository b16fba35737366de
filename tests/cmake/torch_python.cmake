# SPDX-License-Identifier: MIT
# Sets GATEDPATHS_PYTHON to the Python whose PyTorch is the LibTorch that CMake
# found, for the tests that compare with it; empty where there is none.

set(GATEDPATHS_PYTHON "" CACHE FILEPATH "Python with the PyTorch of Torch_DIR.")

function(gatedpaths_find_torch_python)
  set(candidates python3)
  if(Torch_DIR MATCHES "^(.*)/lib/python[0-9.]+/[a-z]+-packages/torch/")
    list(PREPEND candidates "${CMAKE_MATCH_1}/bin/python3")
  endif()
  foreach(candidate IN LISTS candidates)
    execute_process(
      COMMAND "${candidate}" -c
              "import sys, torch; print(sys.executable, torch.__version__, sep='|')"
      OUTPUT_VARIABLE answer
      OUTPUT_STRIP_TRAILING_WHITESPACE
      ERROR_QUIET
      RESULT_VARIABLE failed
    )
    string(REPLACE "." "\\." version "${Torch_VERSION}")
    if(NOT failed AND answer MATCHES "^(.*)\\|${version}")
      set_property(CACHE GATEDPATHS_PYTHON PROPERTY VALUE "${CMAKE_MATCH_1}")
      return()
    endif()
  endforeach()
endfunction()

# Asking Python takes seconds, so only where LibTorch is another than last time.
if(NOT "${Torch_DIR}" STREQUAL "${GATEDPATHS_PYTHON_ASKED}")
  if(NOT GATEDPATHS_PYTHON OR DEFINED CACHE{GATEDPATHS_PYTHON_ASKED})
    gatedpaths_find_torch_python()
  endif()
  set(GATEDPATHS_PYTHON_ASKED "${Torch_DIR}" CACHE INTERNAL "")
  message(STATUS "Python with this PyTorch: ${GATEDPATHS_PYTHON}")
endif()
