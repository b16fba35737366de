// SPDX-License-Identifier: MIT
// Test accuracy of every single path.
#pragma once

#include "dataset.hpp"
#include "net.hpp"

#include <array>
#include <string>
#include <vector>

namespace cifar10 {

struct PathAccuracy {
  std::string path;
  double accuracy = 0;  // from 0 to 1
  // Of the images of each class; NaN where there is none.
  std::array<double, kClasses> classes{};
};

/// Takes each path of the space in turn, in eval mode, through all the images.
/// The last path stays applied, the net's mode is as before.
std::vector<PathAccuracy> test_paths(
    Net& net, gatedpaths::PathSpace& space, const Images& images);

}  // namespace cifar10
