// SPDX-License-Identifier: MIT
#include "path_regression.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cholesky_solve.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_cholesky.h>
#include <ATen/ops/linalg_solve_triangular.h>
#include <ATen/ops/special_ndtr.h>
#include <ATen/ops/special_ndtri.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace gatedpaths::detail {
namespace {

constexpr std::array<double, 4> kDecays{2, 4, 8, 16};
constexpr std::array<double, 3> kNoises{1e-3, 1e-2, 1e-1};
constexpr double kInverseRootOfTwoPi = 0.3989422804014327;

at::Tensor covariance(const at::Tensor& a, const at::Tensor& b, double decay) {
  return ((a.matmul(b.t()) - 1) * decay).exp();
}

}  // namespace

at::Tensor path_features(const SpaceLayout& layout, c10::ArrayRef<Path> paths) {
  // Each gate's branches, then one for no branch, and one for not reached.
  std::vector<int64_t> begins;
  int64_t width = 0;
  for (const GateLayout& gate : layout.gates()) {
    begins.push_back(width);
    width += static_cast<int64_t>(gate.branch_names.size()) + 2;
  }
  const auto gates = static_cast<double>(std::max<size_t>(begins.size(), 1));
  auto features =
      at::zeros({static_cast<int64_t>(paths.size()), width}, at::kDouble);
  auto* row = features.mutable_data_ptr<double>();
  for (const Path& path : paths) {
    for (int64_t gate = 0; gate < layout.num_gates(); ++gate) {
      const auto place = static_cast<size_t>(gate);
      double* const of_gate = row + begins[place];
      const size_t branches = layout.gates()[place].branch_names.size();
      const auto open =
          path.reaches(gate) ? path.open_branches(gate) : c10::IntArrayRef();
      if (open.empty()) {
        of_gate[branches + (path.reaches(gate) ? 0 : 1)] = std::sqrt(1 / gates);
      }
      for (const int64_t branch : open) {
        of_gate[branch] =
            std::sqrt(1 / gates / static_cast<double>(open.size()));
      }
    }
    row += width;
  }
  return features;
}

std::vector<double> normal_scores(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return values[a] < values[b];
  });
  std::vector<double> positions(values.size());
  const auto count = static_cast<double>(values.size());
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin + 1;
    while (end < order.size() && values[order[end]] == values[order[begin]]) {
      ++end;
    }
    // Ranks begin + 1 to end, each less one half.
    const double position = static_cast<double>(begin + end) / 2 / count;
    for (; begin < end; ++begin) {
      positions[order[begin]] = position;
    }
  }
  const auto scores = at::special_ndtri(at::tensor(positions, at::kDouble));
  const auto* data = scores.const_data_ptr<double>();
  return {data, data + scores.numel()};
}

PathRegression::PathRegression(at::Tensor features, at::Tensor targets)
    : features_(std::move(features)), targets_(std::move(targets)) {
  double most = -std::numeric_limits<double>::infinity();
  double decay = kDecays[0];
  double noise = kNoises.back();
  for (const double other_decay : kDecays) {
    for (const double other_noise : kNoises) {
      const double likelihood = fit(other_decay, other_noise);
      if (likelihood > most) {
        most = likelihood;
        decay = other_decay;
        noise = other_noise;
      }
    }
  }
  fit(decay, noise);
}

// Returns the logarithm of the likelihood, up to a constant.
double PathRegression::fit(double decay, double noise) {
  decay_ = decay;
  noise_ = noise;
  const int64_t count = targets_.numel();
  factor_ = at::linalg_cholesky(
      covariance(features_, features_, decay) +
      noise * at::eye(count, at::kDouble));
  weights_ = at::cholesky_solve(targets_.unsqueeze(1), factor_).squeeze(1);
  const auto points = static_cast<double>(count);
  // All targets equal are 0: any variance would do.
  variance_ = std::max(
      targets_.dot(weights_).item<double>() / points,
      std::numeric_limits<double>::min());
  return -points / 2 * std::log(variance_) -
         factor_.diagonal().log().sum().item<double>();
}

PathRegression::Prediction PathRegression::predict(
    const at::Tensor& features) const {
  const auto across = covariance(features, features_, decay_);
  const auto known =
      at::linalg_solve_triangular(factor_, across.t(), /*upper=*/false);
  const auto unknown = (1 - known.square().sum(0)).clamp_min(1e-12);
  return {across.matmul(weights_), (variance_ * unknown).sqrt()};
}

void PathRegression::believe(const at::Tensor& features) {
  const double variance = variance_;
  targets_ = at::cat({targets_, predict(features).mean});
  features_ = at::cat({features_, features});
  fit(decay_, noise_);
  variance_ = variance;
}

at::Tensor expected_improvement(
    const PathRegression::Prediction& prediction, double best) {
  const auto above = prediction.mean - best;
  const auto score = above / prediction.deviation;
  const auto density = (-score.square() / 2).exp() * kInverseRootOfTwoPi;
  return above * at::special_ndtr(score) + prediction.deviation * density;
}

}  // namespace gatedpaths::detail
