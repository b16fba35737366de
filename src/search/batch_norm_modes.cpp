// SPDX-License-Identifier: MIT
#include "batch_norm_modes.hpp"

#include <utility>
#include <vector>

namespace gatedpaths::detail {
namespace {

struct NormModes {
  explicit NormModes(torch::nn::Module& net) {
    for_each_batch_norm(net, [this](auto& norm) {
      modes.emplace_back(&norm, norm.is_training());
      norm.train();
    });
  }
  ~NormModes() {
    for (const auto& [norm, is_training] : modes) {
      norm->train(is_training);
    }
  }
  NormModes(const NormModes&) = delete;
  NormModes& operator=(const NormModes&) = delete;

  std::vector<std::pair<torch::nn::Module*, bool>> modes;
};

}  // namespace

std::shared_ptr<void> norms_by_batch(torch::nn::Module& net) {
  return std::make_shared<NormModes>(net);
}

}  // namespace gatedpaths::detail
