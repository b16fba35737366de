// SPDX-License-Identifier: MIT
// Runs exchange.py, in the Python with the PyTorch of this LibTorch.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "support/catch.hpp"

namespace gatedpaths::test {

// Empty where there is none.
inline constexpr std::string_view kPython = GATEDPATHS_PARITY_PYTHON;

inline int run_python(const std::string& arguments) {
  const auto command = "'" + std::string(kPython) + "' -B -W ignore '" +
                       GATEDPATHS_PARITY_EXCHANGE + "' " + arguments;
  return std::system(command.c_str());
}

/// Skips the test where there is none, or one for which `code` fails.
inline void need_python(const std::string& code, const std::string& what) {
  if (kPython.empty() || std::system(("'" + std::string(kPython) + "' -c '" +
                                      code + "' 2>/dev/null")
                                         .c_str()) != 0) {
    SKIP("there is no Python with the PyTorch of this LibTorch and " << what);
  }
}

inline void need_safetensors() {
  need_python("import numpy, safetensors", "numpy, safetensors");
}

inline std::string quoted(const std::filesystem::path& path) {
  return "'" + path.string() + "' ";
}

}  // namespace gatedpaths::test
