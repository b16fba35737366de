# SPDX-License-Identifier: MIT
# cmake -D build_dir=DIR -D config=NAME -D prefix=DIR -P install_and_move.cmake
# Installs to one prefix and moves that to <prefix>; nothing in the package may
# name the place where it was, nor the build folder.

set(first "${prefix}.first")
file(REMOVE_RECURSE "${first}" "${prefix}")
execute_process(
  COMMAND "${CMAKE_COMMAND}" --install "${build_dir}" --config "${config}" --prefix
          "${first}" COMMAND_ERROR_IS_FATAL ANY
)
file(RENAME "${first}" "${prefix}")

file(GLOB_RECURSE files "${prefix}/*.cmake" "${prefix}/*.hpp" "${prefix}/*.cpp")
foreach(file IN LISTS files)
  file(READ "${file}" text)
  foreach(path IN ITEMS "${first}" "${build_dir}")
    string(FIND "${text}" "${path}" at)
    if(NOT at EQUAL -1)
      message(FATAL_ERROR "${file} names ${path}")
    endif()
  endforeach()
endforeach()
