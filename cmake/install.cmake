# SPDX-License-Identifier: MIT
# The package that find_package(GatedPaths) finds: installed, and in the build
# folder itself.

include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(GATEDPATHS_INSTALL_CMAKEDIR
    "${CMAKE_INSTALL_LIBDIR}/cmake/GatedPaths"
    CACHE STRING "Where the package's CMake files go, below the prefix."
)
mark_as_advanced(GATEDPATHS_INSTALL_CMAKEDIR)

# ---- Package files ----

# The LibTorch that the library is compiled against; the config compares.
set(GATEDPATHS_TORCH_VERSION "${Torch_VERSION}")
configure_package_config_file(
  cmake/GatedPathsConfig.cmake.in "${PROJECT_BINARY_DIR}/GatedPathsConfig.cmake"
  INSTALL_DESTINATION "${GATEDPATHS_INSTALL_CMAKEDIR}"
  NO_SET_AND_CHECK_MACRO
)
write_basic_package_version_file(
  "${PROJECT_BINARY_DIR}/GatedPathsConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion # SameMajorVersion from 1.0 on
)

# ---- Install rules ----

install(
  TARGETS gatedpaths
  EXPORT GatedPathsTargets
  RUNTIME COMPONENT GatedPaths_Runtime
  LIBRARY COMPONENT GatedPaths_Runtime NAMELINK_COMPONENT GatedPaths_Development
  ARCHIVE COMPONENT GatedPaths_Development
  FILE_SET HEADERS COMPONENT GatedPaths_Development
  FILE_SET detail_headers COMPONENT GatedPaths_Development
)
install(
  TARGETS gatedpaths_source
  EXPORT GatedPathsSourceTargets
  FILE_SET HEADERS COMPONENT GatedPaths_Development
)
install(
  DIRECTORY "${PROJECT_SOURCE_DIR}/src"
  DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/gatedpaths"
  COMPONENT GatedPaths_Development FILES_MATCHING
  PATTERN "*.cpp"
  PATTERN "*.hpp"
)
install(
  FILES "${PROJECT_BINARY_DIR}/GatedPathsConfig.cmake"
        "${PROJECT_BINARY_DIR}/GatedPathsConfigVersion.cmake"
  DESTINATION "${GATEDPATHS_INSTALL_CMAKEDIR}"
  COMPONENT GatedPaths_Development
)

# ---- Targets, installed and in the build folder ----

# Two files, since only the component Source needs headers of others.
foreach(export IN ITEMS GatedPathsTargets GatedPathsSourceTargets)
  install(
    EXPORT ${export}
    NAMESPACE GatedPaths::
    DESTINATION "${GATEDPATHS_INSTALL_CMAKEDIR}"
    COMPONENT GatedPaths_Development
  )
  export(
    EXPORT ${export}
    NAMESPACE GatedPaths::
    FILE "${PROJECT_BINARY_DIR}/${export}.cmake"
  )
endforeach()
