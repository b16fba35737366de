// SPDX-License-Identifier: MIT
// How well a supernet ranks the nets, between what it has to beat and what
// nothing can.
#pragma once

#include "scores.hpp"
#include "table.hpp"

#include <gatedpaths/search/rank_correlation.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace nas_bench_macro {

/// Fewer have no best tenth worth the name.
inline constexpr std::size_t kLeastNets = 20;

/// How well one thing ranks the nets as the table does.
struct Agreement {
  std::string what{};
  gatedpaths::RankCorrelation tau{};       ///< Kendall's, over all nets.
  gatedpaths::RankCorrelation rho{};       ///< Spearman's.
  gatedpaths::RankCorrelation tau_best{};  ///< Over the table's best tenth.
};

/// Over the nets that have a score: of the supernet by loss and by accuracy, of
/// FLOPs and of parameters, each against the mean accuracy of the table's three
/// trainings; and of the first of these against the second.
///
/// Throws: `c10::ValueError` for fewer than 20 nets.
std::vector<Agreement> agreements(
    const Table& table, const Scores& scores, std::uint64_t seed);

/// As a table, with the intervals. Ends with a new line.
std::string agreement_table(
    const std::vector<Agreement>& agreements, std::size_t nets);

}  // namespace nas_bench_macro
