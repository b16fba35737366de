# SPDX-License-Identifier: MIT
# Target gatedpaths_docs: the pages of the public headers, in docs/html of the build.

find_program(GATEDPATHS_DOXYGEN doxygen DOC "Makes and checks the documentation.")
mark_as_advanced(GATEDPATHS_DOXYGEN)
configure_file(cmake/Doxyfile.in "${PROJECT_BINARY_DIR}/Doxyfile" @ONLY)
if(GATEDPATHS_DOXYGEN)
  add_custom_target(
    gatedpaths_docs
    COMMAND "${GATEDPATHS_DOXYGEN}" "${PROJECT_BINARY_DIR}/Doxyfile"
    COMMENT "Writing docs/html/index.html"
    VERBATIM
  )
endif()
