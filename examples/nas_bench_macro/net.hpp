// SPDX-License-Identifier: MIT
// The supernet of NAS-Bench-Macro (Su et al., CVPR 2021, arXiv 2103.11922):
// eight blocks of three choices each, 6,561 nets, all of which the benchmark's
// authors have trained alone.
#pragma once

#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/space_layout.hpp>
#include <gatedpaths/search/stage.hpp>

#include <torch/nn/cloneable.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace nas_bench_macro {

/// How many blocks there are, and choices in each.
inline constexpr std::int64_t kBlocks = 8;
inline constexpr std::int64_t kChoices = 3;

struct NetOptions {
  /// Of all channels, against the published net's; at least 1/32, and all
  /// channels have to be whole numbers.
  double width = 1;
  std::int64_t classes = 10;
};

/// A 3x3 convolution, eight blocks in stages of 2, 3 and 3 that halve the
/// resolution first, a 1x1 convolution, the mean over the image, a linear
/// layer.
class NetImpl : public torch::nn::Cloneable<NetImpl> {
 public:
  /// Throws: `c10::ValueError` for a width that gives no whole channels.
  explicit NetImpl(const NetOptions& options = {});

  /// Makes all modules, with fresh weights.
  void reset() override;

  /// Takes images [N, 3, H, W] (32 x 32 in the benchmark), gives the logits of
  /// the classes [N, classes].
  torch::Tensor forward(const torch::Tensor& images);

  /// The forward in stages, for `gatedpaths::evaluate`.
  std::vector<gatedpaths::Stage> stages();

 private:
  NetOptions options_;
  torch::nn::Sequential stem_{nullptr};
  torch::nn::Sequential blocks_{nullptr};  // of ChoiceBlocks
  torch::nn::Sequential head_{nullptr};
};

TORCH_MODULE(Net);

/// The space of a `Net` without one, for searches on the table alone. Path
/// number n has the choices that are the digits of n to the base 3.
std::shared_ptr<const gatedpaths::SpaceLayout> layout();

/// The benchmark's text of a path, a digit a block: 0 the identity (a 1x1
/// convolution where the shape changes), 1 an inverted residual of expansion 3
/// and kernel 3, 2 one of 6 and 5.
///
/// Throws: `c10::ValueError` for a path of another space.
std::string architecture(const gatedpaths::Path& path);

/// Whether this is such a text: eight of the digits 0, 1, 2.
bool is_architecture(std::string_view text);

/// The path that it stands for, of the space of a `Net`.
///
/// Throws: `c10::ValueError` for another text than eight of the digits 0, 1, 2,
/// and for another space.
gatedpaths::Path path_of(
    const gatedpaths::SpaceLayout& space, std::string_view architecture);

}  // namespace nas_bench_macro
