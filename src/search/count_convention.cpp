// SPDX-License-Identifier: MIT
#include <gatedpaths/search/count_convention.hpp>

namespace gatedpaths {

CountConvention CountConvention::torch_flop_counter() {
  CountConvention convention;
  convention.name = "torch.utils.flop_counter";
  return convention;
}

CountConvention CountConvention::fvcore() {
  CountConvention convention;
  convention.name = "fvcore";
  convention.multiply_add = 1;
  convention.batch_norm = {.plain = 1, .affine = 2};
  convention.batch_norm_training = {.plain = 4, .affine = 5};
  convention.layer_norm = {.plain = 4, .affine = 5};
  convention.adaptive_pooling = 1;
  convention.upsampling = 1;
  convention.interpolation = 4;
  return convention;
}

CountConvention CountConvention::ptflops() {
  CountConvention convention;
  convention.name = "ptflops";
  convention.multiply_add = 1;
  convention.bias = 1;
  convention.batch_norm = {.plain = 1, .affine = 2};
  convention.batch_norm_training = {.plain = 1, .affine = 2};
  convention.layer_norm = {.plain = 1, .affine = 2};
  convention.activation = 1;
  convention.pooling = 1;
  convention.adaptive_pooling = 1;
  convention.upsampling = 1;
  convention.interpolation = 1;
  convention.elementwise = 1;
  return convention;
}

}  // namespace gatedpaths
