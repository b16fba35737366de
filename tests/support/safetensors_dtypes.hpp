// SPDX-License-Identifier: MIT
#pragma once

#include <c10/core/ScalarType.h>

#include <array>

namespace gatedpaths::test {

/// What safetensors files and each LibTorch since 2.6 share.
inline constexpr std::array kSafetensorsDtypes{
    at::kBool,
    at::kByte,
    at::kChar,
    at::kShort,
    at::kInt,
    at::kLong,
    at::kUInt16,
    at::kUInt32,
    at::kUInt64,
    at::kHalf,
    at::kBFloat16,
    at::kFloat,
    at::kDouble,
    at::kComplexFloat,
    at::kFloat8_e4m3fn,
    at::kFloat8_e5m2,
    at::kFloat8_e4m3fnuz,
    at::kFloat8_e5m2fnuz};

}  // namespace gatedpaths::test
