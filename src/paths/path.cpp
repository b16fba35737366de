// SPDX-License-Identifier: MIT
#include <gatedpaths/paths/path.hpp>

#include "../text/fnv1a.hpp"
#include "../text/text.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>

namespace gatedpaths {

bool Path::reaches(int64_t gate) const noexcept {
  return std::binary_search(gates_.begin(), gates_.end(), gate);
}

c10::IntArrayRef Path::open_branches(int64_t gate) const& {
  const auto place = std::lower_bound(gates_.begin(), gates_.end(), gate);
  TORCH_CHECK_INDEX(
      place != gates_.end() && *place == gate,
      fmt::format(
          "Path::open_branches: expected a gate that the path reaches ({}), "
          "got "
          "{}",
          detail::numbers(gates_),
          gate));
  return setting(static_cast<size_t>(place - gates_.begin())).open;
}

uint64_t Path::hash() const noexcept {
  detail::Fnv1a hash;
  hash.add(space_hash_);
  for (const auto& [gate, open] : *this) {
    hash.add(gate).add(static_cast<uint64_t>(open.size()));
    for (const int64_t branch : open) {
      hash.add(branch);
    }
  }
  return hash.value();
}

GateSetting Path::setting(size_t position) const noexcept {
  const size_t start = position == 0 ? 0 : ends_[position - 1];
  return {
      gates_[position],
      c10::IntArrayRef(open_.data() + start, ends_[position] - start)};
}

void Path::append(int64_t gate, c10::IntArrayRef open) {
  gates_.push_back(gate);
  open_.insert(open_.end(), open.begin(), open.end());
  ends_.push_back(open_.size());
}

}  // namespace gatedpaths
