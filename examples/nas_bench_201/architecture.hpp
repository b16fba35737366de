// SPDX-License-Identifier: MIT
// The space of NAS-Bench-201 (Dong and Yang, ICLR 2020, arXiv 2001.00326): a
// cell of four nodes, with one of five operations on each of its six edges,
// 15,625 cells, all of which the benchmark's authors have trained.
#pragma once

#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/space_layout.hpp>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace nas_bench_201 {

/// From one node of a cell to a later one.
struct Edge {
  std::int64_t source = 0;
  std::int64_t target = 0;
};

/// A cell's edges, in the order of its text: gates 0 to 5 of the space.
inline constexpr std::array<Edge, 6> kEdges = {
    {{0, 1}, {0, 2}, {1, 2}, {0, 3}, {1, 3}, {2, 3}}};

/// What may stand on an edge: branches 0 to 4 of each gate.
inline constexpr std::array<std::string_view, 5> kOperations = {
    "none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"};

/// A cell: the number of the operation on each edge.
using Cell = std::array<std::int64_t, kEdges.size()>;

/// The benchmark's text of a cell, the edges into nodes 1, 2 and 3 with the
/// nodes that they come from:
/// `|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|avg_pool_3x3~2|`.
///
/// Throws: `c10::IndexError` for an operation that there is not.
std::string architecture(const Cell& cell);

/// The same, of a path of `layout()`.
///
/// Throws: `c10::ValueError` for a path of another space.
std::string architecture(const gatedpaths::Path& path);

/// The cell that a text stands for.
///
/// Throws: `c10::ValueError`, with the place, where it is no such text. Edges
/// stand in their order, each once, spaces nowhere.
Cell cell_of(std::string_view architecture);

/// The path that a text stands for, of `layout()`, which is also that of a
/// `Net`.
///
/// Throws: `c10::ValueError` as `cell_of`, and for another space.
gatedpaths::Path path_of(
    const gatedpaths::SpaceLayout& space, std::string_view architecture);

/// The name of an edge's gate: `"edge_0_1"`.
std::string gate_name(const Edge& edge);

/// The space without a network, for searches on the table alone. Path number n
/// has the operations that are the digits of n to the base 5.
std::shared_ptr<const gatedpaths::SpaceLayout> layout();

}  // namespace nas_bench_201
