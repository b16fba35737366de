// SPDX-License-Identifier: MIT
// A generated stand-in for CIFAR-10: the same layout, read by the same reader,
// with ten shapes that a small net can tell apart.
#pragma once

#include "dataset.hpp"

#include <cstdint>
#include <vector>

namespace cifar10 {

/// The first `count` records of the training or the test set, in the official
/// layout. Every image is a function of its index alone.
std::vector<std::uint8_t> stand_in_records(bool train, std::size_t count);

/// What the stand-in's classes show, in the order of their labels.
ClassNames stand_in_class_names();

/// As many images as CIFAR-10 has, or the first `limit` of each set if that is
/// not 0.
Dataset stand_in_dataset(std::int64_t limit);

}  // namespace cifar10
