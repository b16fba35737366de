# SPDX-License-Identifier: MIT
# What the library itself needs. Programs look for theirs where they are built.

# GLOBAL, because imported targets otherwise end at this directory, and a parent
# project that links GatedPaths would not see LibTorch, nor fmt with its sources.
if(NOT TARGET torch)
  find_package(Torch 2.6 REQUIRED GLOBAL)
endif()

# Header-only, because LibTorch's wheel has headers of another fmt in its include
# folder: the compiled library of one does not fit the headers of the other.
if(NOT TARGET fmt::fmt-header-only)
  find_package(fmt REQUIRED GLOBAL)
endif()
