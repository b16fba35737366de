// SPDX-License-Identifier: MIT
#include "architecture.hpp"

#include "shown.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>
#include <vector>

namespace nas_bench_201 {
namespace {

namespace gp = gatedpaths;

/// Reads a text from its front.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text), rest_(text) {}

  /// Takes `expected`, which has to come next.
  void take(std::string_view expected) {
    check(rest_.starts_with(expected), [&] { return shown(expected); });
    rest_.remove_prefix(expected.size());
  }

  std::int64_t take_operation(const Edge& edge) {
    const auto word = rest_.substr(0, rest_.find_first_of("~|+"));
    const auto found = std::find(kOperations.begin(), kOperations.end(), word);
    check(found != kOperations.end(), [&] {
      return fmt::format(
          "an operation from node {} to node {} ({})",
          edge.source,
          edge.target,
          fmt::join(kOperations, ", "));
    });
    rest_.remove_prefix(word.size());
    return found - kOperations.begin();
  }

  void take_end() {
    check(rest_.empty(), [] { return std::string("the end"); });
  }

 private:
  template <class Expected>
  void check(bool holds, const Expected& expected) const {
    TORCH_CHECK_VALUE(
        holds,
        fmt::format(
            "nas_bench_201: expected {} at place {} of the architecture {}, "
            "got {}",
            expected(),
            text_.size() - rest_.size(),
            shown(text_),
            rest_.empty() ? "its end" : shown(rest_)));
  }

  std::string_view text_;
  std::string_view rest_;
};

/// What stands before the edge's operation.
std::string_view start_of(const Edge& edge) {
  return edge.source > 0 ? "" : edge.target > 1 ? "+|" : "|";
}

}  // namespace

std::string architecture(const Cell& cell) {
  std::string text;
  for (std::size_t i = 0; i < kEdges.size(); ++i) {
    const auto& edge = kEdges[i];
    TORCH_CHECK_INDEX(
        0 <= cell[i] && cell[i] < std::ssize(kOperations),
        fmt::format(
            "nas_bench_201: expected an operation from 0 to {} on edge {}, got "
            "{}",
            kOperations.size() - 1,
            i,
            cell[i]));
    text += fmt::format(
        "{}{}~{}|",
        start_of(edge),
        kOperations[static_cast<std::size_t>(cell[i])],
        edge.source);
  }
  return text;
}

std::string architecture(const gp::Path& path) {
  TORCH_CHECK_VALUE(
      path.space_hash() == layout()->hash(),
      fmt::format(
          "nas_bench_201: expected a path of space {:#018x}, got one of space "
          "{:#018x}",
          layout()->hash(),
          path.space_hash()));
  Cell cell{};
  for (const auto& [gate, open] : path) {
    cell[static_cast<std::size_t>(gate)] = open[0];
  }
  return architecture(cell);
}

Cell cell_of(std::string_view architecture) {
  Reader reader(architecture);
  Cell cell{};
  for (std::size_t i = 0; i < kEdges.size(); ++i) {
    const auto& edge = kEdges[i];
    reader.take(start_of(edge));
    cell[i] = reader.take_operation(edge);
    reader.take(fmt::format("~{}|", edge.source));
  }
  reader.take_end();
  return cell;
}

gp::Path path_of(const gp::SpaceLayout& space, std::string_view architecture) {
  TORCH_CHECK_VALUE(
      space.hash() == layout()->hash(),
      fmt::format(
          "nas_bench_201: expected the space {:#018x}, got {:#018x}",
          layout()->hash(),
          space.hash()));
  const auto cell = cell_of(architecture);
  return space.make_path(
      [&](std::int64_t gate, std::vector<std::int64_t>& open) {
        open.push_back(cell[static_cast<std::size_t>(gate)]);
      });
}

std::string gate_name(const Edge& edge) {
  return fmt::format("edge_{}_{}", edge.source, edge.target);
}

std::shared_ptr<const gp::SpaceLayout> layout() {
  static const auto space = [] {
    std::vector<gp::GateLayout> gates;
    for (const auto& edge : kEdges) {
      gates.push_back(
          {.name = gate_name(edge),
           .branch_names = {kOperations.begin(), kOperations.end()}});
    }
    return std::make_shared<const gp::SpaceLayout>(std::move(gates));
  }();
  return space;
}

}  // namespace nas_bench_201
