// SPDX-License-Identifier: MIT
// libFuzzer's entry into one harness, GATEDPATHS_HARNESS.
#include "harnesses.hpp"

#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(
    const std::uint8_t* data, std::size_t size) {
  gatedpaths::fuzz::GATEDPATHS_HARNESS({data, size});
  return 0;
}
