# SPDX-License-Identifier: MIT
# cmake -D source=DIR -D binary=DIR -D generator=NAME [-D run=ON] \
#       -P use_package.cmake -- [cmake options]
# Configures a project from nothing, and with run=ON builds and runs its program.

set(options "")
set(passed FALSE)
math(EXPR last "${CMAKE_ARGC} - 1")
foreach(index RANGE ${last})
  if(passed)
    list(APPEND options "${CMAKE_ARGV${index}}")
  elseif(CMAKE_ARGV${index} STREQUAL "--")
    set(passed TRUE)
  endif()
endforeach()

file(REMOVE_RECURSE "${binary}")
execute_process(
  COMMAND "${CMAKE_COMMAND}" -S "${source}" -B "${binary}" -G "${generator}" ${options}
          COMMAND_ERROR_IS_FATAL ANY
)
if(run)
  execute_process(
    COMMAND "${CMAKE_COMMAND}" --build "${binary}" --parallel 2 COMMAND_ERROR_IS_FATAL
            ANY
  )
  execute_process(COMMAND "${binary}/consumer" COMMAND_ERROR_IS_FATAL ANY)
endif()
