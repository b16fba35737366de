// SPDX-License-Identifier: MIT
#include <gatedpaths/search/cost_notes.hpp>

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <string_view>

namespace gatedpaths {
namespace {

struct Prefix {
  double factor;
  std::string_view name;
};

constexpr auto kThousands = std::to_array<Prefix>(
    {{1e12, " T"}, {1e9, " G"}, {1e6, " M"}, {1e3, " k"}});
constexpr auto kBinary = std::to_array<Prefix>(
    {{0x1p40, " TiB"}, {0x1p30, " GiB"}, {0x1p20, " MiB"}, {0x1p10, " KiB"}});
constexpr auto kTimes =
    std::to_array<Prefix>({{1.0, " s"}, {1e-3, " ms"}, {1e-6, " us"}});

// Three digits, and no exponent.
std::string digits(double value) {
  return std::abs(value) < 999.5 ? fmt::format("{:.3g}", value)
                                 : fmt::format("{:.0f}", value);
}

template <class Prefixes>
std::string scaled(
    double value, const Prefixes& prefixes, std::string_view unit) {
  for (const auto& [factor, name] : prefixes) {
    if (std::abs(value) >= 0.9995 * factor) {  // else it rounds to 1e+03
      return fmt::format("{}{}", digits(value / factor), name);
    }
  }
  return fmt::format("{}{}", digits(value), unit);
}

std::string cost_text(CostKind kind, double value) {
  switch (kind) {
    case CostKind::kMacs:
    case CostKind::kFlops:
    case CostKind::kParameters:
      return scaled(value, kThousands, "");
    case CostKind::kParameterBytes:
    case CostKind::kActivationBytes:
      return scaled(value, kBinary, " B");
    case CostKind::kLatency:
      break;
  }
  return std::abs(value) < 1e-6 ? fmt::format("{:.3g} ns", value * 1e9)
                                : scaled(value, kTimes, " s");
}

}  // namespace

BranchNotes cost_notes(const CostModel& cost, CostKind kind) {
  TORCH_CHECK_VALUE(
      cost.has(kind),
      fmt::format(
          "cost_notes: expected a model that has measured {}, got one that has "
          "not",
          to_string(kind)));
  return [cost, kind](int64_t gate, int64_t branch) -> BranchNote {
    const double value = cost.branch(gate, branch).of(kind);
    return {.text = cost_text(kind, value), .weight = std::max(0.0, value)};
  };
}

}  // namespace gatedpaths
