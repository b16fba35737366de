// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/output_shape.hpp>

#include <c10/util/Exception.h>

#include <algorithm>
#include <utility>

namespace gatedpaths {
namespace {

const std::vector<int64_t>& checked(const std::vector<int64_t>& sizes) {
  TORCH_CHECK_VALUE(
      std::all_of(sizes.begin(), sizes.end(), [](auto s) { return s >= 0; }),
      "OutputShape: expected sizes of at least 0, without the batch dim, got ",
      c10::IntArrayRef(sizes));
  return sizes;
}

}  // namespace

OutputShape::OutputShape(std::initializer_list<int64_t> sizes)
    : OutputShape(std::vector<int64_t>(sizes)) {}

OutputShape::OutputShape(std::vector<int64_t> sizes) : rule_(std::move(sizes)) {
  checked(std::get<std::vector<int64_t>>(rule_));
}

OutputShape OutputShape::like_open_sibling() {
  OutputShape shape;
  shape.rule_ = LikeOpenSibling{};
  return shape;
}

bool OutputShape::has_sizes() const noexcept {
  return std::holds_alternative<std::vector<int64_t>>(rule_) ||
         std::holds_alternative<Function>(rule_);
}

bool OutputShape::is_like_open_sibling() const noexcept {
  return std::holds_alternative<LikeOpenSibling>(rule_);
}

std::vector<int64_t> OutputShape::sizes(c10::IntArrayRef input_sizes) const {
  TORCH_CHECK_VALUE(
      has_sizes(), "OutputShape::sizes: expected declared sizes, got none");
  if (const auto* fixed = std::get_if<std::vector<int64_t>>(&rule_)) {
    return *fixed;
  }
  return checked(std::get<Function>(rule_)(input_sizes));
}

}  // namespace gatedpaths
