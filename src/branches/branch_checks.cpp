// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/branch_checks.hpp>

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>

namespace gatedpaths::detail {

std::string BranchLabel::text() const {
  return fmt::format("branch {} ('{}')", index, name);
}

void check_device(
    const BranchLabel& branch,
    const torch::nn::Module& module,
    at::Device device) {
  const auto parameters = module.parameters();
  const auto elsewhere = std::find_if(
      parameters.begin(), parameters.end(), [](const at::Tensor& parameter) {
        return parameter.defined();
      });
  if (elsewhere == parameters.end() ||
      std::any_of(elsewhere, parameters.end(), [&](const at::Tensor& p) {
        return p.defined() && p.device() == device;
      })) {
    return;
  }
  TORCH_CHECK_VALUE(
      false,
      branch.gate_kind,
      "::forward: expected an input on ",
      elsewhere->device(),
      ", where ",
      branch.text(),
      " has its parameters, got one on ",
      device);
}

void check_rows(
    const BranchLabel& branch, const at::Tensor& output, int64_t samples) {
  TORCH_CHECK_VALUE(
      output.dim() > 0 && output.size(0) == samples,
      branch.gate_kind,
      "::forward: expected ",
      branch.text(),
      " to return one row for each of the ",
      samples,
      " samples that it ran on, got ",
      output.sizes());
}

}  // namespace gatedpaths::detail
