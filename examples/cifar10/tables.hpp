// SPDX-License-Identifier: MIT
// The table at the end of a run.
#pragma once

#include "dataset.hpp"
#include "evaluation.hpp"

#include <string>
#include <vector>

namespace cifar10 {

/// Accuracy in percent: a row for each class and one for all, a column for each
/// path; several tables below each other where the paths need more than `width`
/// columns of text. Ends with a new line.
std::string accuracy_table(
    const std::vector<PathAccuracy>& results,
    const ClassNames& classes,
    std::size_t width = 80);

}  // namespace cifar10
