// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <cstdint>
#include <string>

namespace gatedpaths {

/// How many operations an element of a normalisation counts as.
struct NormCount {
  int64_t plain = 0;   ///< Without a weight of its own.
  int64_t affine = 0;  ///< With one.

  bool operator==(const NormCount&) const = default;
};

/// What counts as a floating point operation: a matter of convention, of which
/// there are several, and which makes a factor of two and more.
///
/// Multiply-accumulates are no matter of it: those of products, convolutions,
/// attention and recurrent layers are the same in each. All else is a number of
/// operations for each element, 0 for what a convention leaves out.
///
/// The presets have the conventions of others, by operator. Where a tool goes
/// by module instead, what modules do not do is still counted here.
///
/// Example, torch's convention, with the bias:
/// ```
/// auto convention = gatedpaths::CountConvention::torch_flop_counter();
/// convention.name = "with bias";
/// convention.bias = 1;
/// ```
struct GATEDPATHS_EXPORT CountConvention {
  std::string name = "own";  ///< Stands in tables, to tell them apart.

  /// Operations of one multiply-accumulate: 2, or 1 where it counts as one.
  int64_t multiply_add = 2;
  /// Of each element that a bias is added to (in `addmm` and its like: the
  /// first argument).
  int64_t bias = 0;
  /// Of each input element of batch norm in eval mode.
  NormCount batch_norm{};
  /// The same in training mode.
  NormCount batch_norm_training{};
  /// Of each input element of layer norm and group norm.
  NormCount layer_norm{};
  /// Of each output element of an activation function, softmax included.
  int64_t activation = 0;
  /// Of each input element of a pooling layer with a kernel.
  int64_t pooling = 0;
  /// Of each input element of a pooling layer with an output size.
  int64_t adaptive_pooling = 0;
  /// Of each output element that is interpolated from the nearest one.
  int64_t upsampling = 0;
  /// Of each output element that is interpolated from several.
  int64_t interpolation = 0;
  /// Of each output element of a sum, product and so on of tensors, and of each
  /// input element of a sum or mean over a dim.
  int64_t elementwise = 0;

  /// `torch.utils.flop_counter` of PyTorch: multiply-accumulates alone, as two
  /// operations each. It knows fewer operators than are counted here (for one,
  /// on the CPU neither an LSTM nor fused attention); of those that it knows,
  /// the sums are equal, but for the gradient of a grouped convolution's
  /// weight, which it counts as if there were one group.
  static CountConvention torch_flop_counter();

  /// `fvcore.nn.FlopCountAnalysis`: a multiply-accumulate is one operation;
  /// with normalisation, adaptive average pooling (here: each adaptive
  /// pooling) and upsampling, without activations and biases.
  static CountConvention fvcore();

  /// `ptflops`: a multiply-accumulate is one operation; with biases,
  /// normalisation, activations, pooling, upsampling and elementwise sums and
  /// products. It counts the bias of a linear layer once for the whole batch,
  /// and estimates recurrent layers and attention by formulas of its own: those
  /// are counted here as what they do.
  static CountConvention ptflops();

  bool operator==(const CountConvention&) const = default;
};

}  // namespace gatedpaths
