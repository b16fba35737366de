# SPDX-License-Identifier: MIT
# What the library itself needs. Programs look for theirs where they are built.

# GLOBAL, because imported targets otherwise end at this directory, and a parent
# project that links GatedPaths would not see LibTorch, nor what its sources need.
if(NOT TARGET torch)
  find_package(Torch 2.6 REQUIRED GLOBAL)
endif()

# Header-only, because LibTorch's wheel has headers of another fmt in its include
# folder: the compiled library of one does not fit the headers of the other.
if(NOT TARGET fmt::fmt-header-only)
  find_package(fmt REQUIRED GLOBAL)
endif()

# Headers alone, too.
if(NOT TARGET nlohmann_json::nlohmann_json)
  find_package(nlohmann_json REQUIRED GLOBAL)
endif()
