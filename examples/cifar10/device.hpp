// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace cifar10 {

/// Throws where LibTorch finds no device of this name, which `check_device`
/// has accepted.
void require_device(const std::string& name);

}  // namespace cifar10
