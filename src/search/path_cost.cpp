// SPDX-License-Identifier: MIT
#include <gatedpaths/search/path_cost.hpp>

namespace gatedpaths {

std::string_view to_string(CostKind kind) noexcept {
  switch (kind) {
    case CostKind::kMacs:
      return "macs";
    case CostKind::kFlops:
      return "flops";
    case CostKind::kParameters:
      return "parameters";
    case CostKind::kParameterBytes:
      return "parameter_bytes";
    case CostKind::kActivationBytes:
      return "activation_bytes";
    case CostKind::kLatency:
      break;
  }
  return "latency";
}

double PathCost::of(CostKind kind) const noexcept {
  switch (kind) {
    case CostKind::kMacs:
      return static_cast<double>(macs);
    case CostKind::kFlops:
      return static_cast<double>(flops);
    case CostKind::kParameters:
      return static_cast<double>(parameters);
    case CostKind::kParameterBytes:
      return static_cast<double>(parameter_bytes);
    case CostKind::kActivationBytes:
      return static_cast<double>(activation_bytes);
    case CostKind::kLatency:
      break;
  }
  return latency;
}

PathCost& PathCost::operator+=(const PathCost& other) noexcept {
  macs += other.macs;
  flops += other.flops;
  parameters += other.parameters;
  parameter_bytes += other.parameter_bytes;
  activation_bytes += other.activation_bytes;
  latency += other.latency;
  latency_spread += other.latency_spread;
  return *this;
}

}  // namespace gatedpaths
