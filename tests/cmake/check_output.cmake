# SPDX-License-Identifier: MIT
# Runs PROGRAM and compares what it prints with the file OUTPUT, where there is
# one: `cmake -DPROGRAM=... -DOUTPUT=... -P check_output.cmake`.

execute_process(
  COMMAND "${PROGRAM}"
  RESULT_VARIABLE code
  OUTPUT_VARIABLE printed
)
message("${printed}")
if(NOT code EQUAL 0)
  message(FATAL_ERROR "${PROGRAM}: expected exit code 0, got ${code}")
endif()
if(EXISTS "${OUTPUT}")
  file(READ "${OUTPUT}" expected)
  if(NOT printed STREQUAL expected)
    message(FATAL_ERROR "${PROGRAM}: expected what stands in ${OUTPUT}:\n${expected}")
  endif()
endif()
