// SPDX-License-Identifier: MIT
// What make_reference.py wrote.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/tensors.hpp"

namespace gatedpaths::test {

// Of outputs and gradients.
inline constexpr double kParity = 1e-6;

// Empty where there is no Python to write it.
inline constexpr std::string_view kReference = GATEDPATHS_PARITY_REFERENCE;

/// Skips the test where there is none: not inside of a CHECK, which would take
/// that for a failure.
inline const std::map<std::string, torch::Tensor>& reference() {
  if (kReference.empty()) {
    SKIP("there is no Python with the PyTorch of this LibTorch");
  }
  static const auto tensors = [] {
    at::set_num_threads(1);
    const std::string bytes = read_file(kReference);
    const auto loaded =
        torch::pickle_load(std::vector<char>(bytes.begin(), bytes.end()));
    std::map<std::string, torch::Tensor> named;
    for (const auto& item : loaded.toGenericDict()) {
      named.emplace(item.key().toStringRef(), item.value().toTensor());
    }
    return named;
  }();
  return tensors;
}

inline void load_reference(
    torch::nn::Module& module, const std::string& prefix) {
  const torch::NoGradGuard no_grad;
  for (auto& parameter : module.named_parameters()) {
    parameter->copy_(reference().at(prefix + parameter.key()));
  }
}

// By name, so that a failure says which.
inline void check_gradients(
    const torch::nn::Module& module, const std::string& prefix) {
  for (const auto& parameter : module.named_parameters()) {
    CAPTURE(prefix, parameter.key());
    const auto expected = reference().find(prefix + parameter.key());
    if (expected == reference().end()) {
      CHECK_FALSE(parameter->grad().defined());
    } else {
      CHECK(largest_difference(parameter->grad(), expected->second) <= kParity);
    }
  }
}

}  // namespace gatedpaths::test
