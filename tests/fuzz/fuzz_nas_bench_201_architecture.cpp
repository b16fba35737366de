// SPDX-License-Identifier: MIT
// NAS-Bench-201's texts: what is none is an error of one kind, without bytes
// that cannot be shown, and a cell has no other text than its own.
#include "harnesses.hpp"
#include "input.hpp"
#include "promise.hpp"

#include "nas_bench_201/architecture.hpp"

#include <optional>

namespace gatedpaths::fuzz {

void nas_bench_201_architecture(Bytes bytes) {
  const auto text = text_of(bytes);
  std::optional<nas_bench_201::Cell> cell;
  const bool is_none = is_refused<c10::ValueError>(
      "nas_bench_201: expected ", [&] { cell = nas_bench_201::cell_of(text); });
  require(cell.has_value() != is_none, "a cell or an error");
  if (cell) {
    require(nas_bench_201::architecture(*cell) == text, "a cell has one text");
  }
}

}  // namespace gatedpaths::fuzz
