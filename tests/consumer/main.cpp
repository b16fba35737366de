// SPDX-License-Identifier: MIT
// A program of somebody else's that uses the package.
#include <gatedpaths/version.hpp>

#include <torch/torch.h>

#include <iostream>

int main() {
  std::cout << "gatedpaths " << gatedpaths::version() << ", torch "
            << torch::ones({2}).sum().item<float>() << '\n';
  return gatedpaths::version().empty() ? 1 : 0;
}
