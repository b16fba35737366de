// SPDX-License-Identifier: MIT
// The formulas are those of linear algebra; what each convention leaves out was
// read in PyTorch's torch/utils/flop_counter.py, fvcore's jit_handles.py and
// ptflops' pytorch_ops.py.
#include "operation_table.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/core/enum_tag.h>
#include <c10/util/accumulate.h>

#include <algorithm>
#include <initializer_list>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace gatedpaths::detail {
namespace {

// Of a missing tensor: none, and no element.
c10::IntArrayRef sizes_of(const c10::IValue& value) {
  return value.isTensor() && value.toTensor().defined()
             ? value.toTensor().sizes()
             : c10::IntArrayRef();
}

bool is_given(const c10::IValue& value) {
  return value.isTensor() && value.toTensor().defined();
}

int64_t elements(const c10::IValue& value) {
  return is_given(value) ? c10::multiply_integers(sizes_of(value)) : 0;
}

int64_t elements_from(c10::IntArrayRef sizes, size_t first) {
  return c10::multiply_integers(sizes.slice(std::min(first, sizes.size())));
}

OperationCount of_macs(const CountConvention& convention, int64_t macs) {
  return {macs, macs * convention.multiply_add};
}

OperationCount with_bias(
    const CountConvention& convention, int64_t macs, int64_t biased) {
  OperationCount count = of_macs(convention, macs);
  count.flops += biased * convention.bias;
  return count;
}

// ---- Matrix products ----

// [.., m, k] times [.., k, n]
int64_t product_macs(const c10::IValue& a, const c10::IValue& b) {
  const auto right = sizes_of(b);
  return elements(a) * (right.size() < 2 ? 1 : right.back());
}

template <size_t a, size_t b>
OperationCount product(
    const CountConvention& convention, Values inputs, Values /*outputs*/) {
  return of_macs(convention, product_macs(inputs[a], inputs[b]));
}

template <size_t a, size_t b>
OperationCount product_added(
    const CountConvention& convention, Values inputs, Values outputs) {
  return with_bias(
      convention, product_macs(inputs[a], inputs[b]), elements(outputs[0]));
}

OperationCount outer_product(
    const CountConvention& convention, Values /*inputs*/, Values outputs) {
  return of_macs(convention, elements(outputs[0]));
}

// (input, weight [out, in], bias)
OperationCount linear_layer(
    const CountConvention& convention, Values inputs, Values outputs) {
  const int64_t out = sizes_of(inputs[1]).empty() ? 1 : sizes_of(inputs[1])[0];
  return with_bias(
      convention,
      elements(inputs[0]) * out,
      inputs.size() > 2 && is_given(inputs[2]) ? elements(outputs[0]) : 0);
}

// ---- Convolutions ----

// Each position of the smaller of both images meets each weight once.
int64_t convolution_macs(
    int64_t batch, c10::IntArrayRef image, c10::IntArrayRef weight) {
  return batch * elements_from(image, 2) * c10::multiply_integers(weight);
}

// (x, weight, bias, stride, padding, dilation, transposed, ...)
OperationCount convolution(
    const CountConvention& convention, Values inputs, Values outputs) {
  const auto x = sizes_of(inputs[0]);
  const bool transposed = inputs[6].isBool() && inputs[6].toBool();
  const auto image = transposed ? x : sizes_of(outputs[0]);
  const int64_t batch = x.empty() ? 0 : x[0];
  return with_bias(
      convention,
      convolution_macs(batch, image, sizes_of(inputs[1])),
      is_given(inputs[2]) ? elements(outputs[0]) : 0);
}

// (x, weight, ..., bias at `bias`), never transposed
template <size_t bias>
OperationCount plain_convolution(
    const CountConvention& convention, Values inputs, Values outputs) {
  const auto x = sizes_of(inputs[0]);
  return with_bias(
      convention,
      convolution_macs(
          x.empty() ? 0 : x[0], sizes_of(outputs[0]), sizes_of(inputs[1])),
      bias < inputs.size() && is_given(inputs[bias]) ? elements(outputs[0])
                                                     : 0);
}

// (grad, x, weight, bias sizes, stride, padding, dilation, transposed,
// output_padding, groups, mask): the gradient of either factor meets the other
// as often as they met in the forward.
OperationCount convolution_backward(
    const CountConvention& convention, Values inputs, Values /*outputs*/) {
  const auto grad = sizes_of(inputs[0]);
  const auto x = sizes_of(inputs[1]);
  const bool transposed = inputs[7].toBool();
  const int64_t forward = convolution_macs(
      x.empty() ? 0 : x[0], transposed ? x : grad, sizes_of(inputs[2]));
  const auto mask = inputs[10].toBoolList();
  return of_macs(
      convention, forward * ((mask.get(0) ? 1 : 0) + (mask.get(1) ? 1 : 0)));
}

// ---- Attention ----

struct AttentionMacs {
  int64_t scores = 0;  // query times key
  int64_t values = 0;  // scores times value
};

// [batch, heads, length, features]
AttentionMacs attention_macs(
    c10::IntArrayRef query, c10::IntArrayRef key, c10::IntArrayRef value) {
  if (query.size() < 4 || key.size() < 4 || value.size() < 4) {
    return {};
  }
  const int64_t pairs = query[0] * query[1] * query[2] * key[2];
  return {pairs * query[3], pairs * value[3]};
}

OperationCount attention(
    const CountConvention& convention, Values inputs, Values /*outputs*/) {
  const auto macs = attention_macs(
      sizes_of(inputs[0]), sizes_of(inputs[1]), sizes_of(inputs[2]));
  return of_macs(convention, macs.scores + macs.values);
}

// (grad, query, key, value, ...): the scores anew, then the gradients of both
// factors of both products.
OperationCount attention_backward(
    const CountConvention& convention, Values inputs, Values /*outputs*/) {
  const auto macs = attention_macs(
      sizes_of(inputs[1]), sizes_of(inputs[2]), sizes_of(inputs[3]));
  return of_macs(convention, 3 * macs.scores + 2 * macs.values);
}

// ---- Recurrent layers ----

// Each row of the input, [time, batch, features] or [batch, time, features],
// meets each matrix.
int64_t recurrent_rows(const c10::IValue& input) {
  const auto sizes = sizes_of(input);
  return sizes.empty()
             ? 0
             : c10::multiply_integers(sizes.slice(0, sizes.size() - 1));
}

// (input, weight of the input, of the state, biases of both, ...): one layer in
// one direction.
OperationCount recurrent_layer(
    const CountConvention& convention, Values inputs, Values /*outputs*/) {
  const int64_t rows = recurrent_rows(inputs[0]);
  return with_bias(
      convention,
      rows * (elements(inputs[1]) + elements(inputs[2])),
      rows * (elements(inputs[3]) + elements(inputs[4])));
}

// The same arguments first: the gradients of both factors of each product.
OperationCount recurrent_layer_backward(
    const CountConvention& convention, Values inputs, Values /*outputs*/) {
  const int64_t rows = recurrent_rows(inputs[0]);
  return of_macs(
      convention, 2 * rows * (elements(inputs[1]) + elements(inputs[2])));
}

// (input, weights and biases, ...): all layers.
OperationCount recurrent_stack(
    const CountConvention& convention, Values inputs, Values /*outputs*/) {
  const int64_t rows = recurrent_rows(inputs[0]);
  int64_t weights = 0;
  int64_t biases = 0;
  for (const at::Tensor& tensor : inputs[1].toTensorVector()) {
    (tensor.dim() > 1 ? weights : biases) += tensor.numel();
  }
  return with_bias(convention, rows * weights, rows * biases);
}

// ---- What only some conventions count ----

OperationCount of_flops(int64_t flops) { return {0, flops}; }

// `weight`, `training`: places among the inputs.
template <size_t weight, size_t training>
OperationCount batch_norm(
    const CountConvention& convention, Values inputs, Values /*outputs*/) {
  const bool trains = training >= inputs.size() || !inputs[training].isBool() ||
                      inputs[training].toBool();
  const NormCount& count =
      trains ? convention.batch_norm_training : convention.batch_norm;
  return of_flops(
      elements(inputs[0]) *
      (is_given(inputs[weight]) ? count.affine : count.plain));
}

template <size_t weight>
OperationCount layer_norm(
    const CountConvention& convention, Values inputs, Values /*outputs*/) {
  const NormCount& count = convention.layer_norm;
  return of_flops(
      elements(inputs[0]) *
      (is_given(inputs[weight]) ? count.affine : count.plain));
}

template <int64_t CountConvention::*weight>
OperationCount by_output(
    const CountConvention& convention, Values /*inputs*/, Values outputs) {
  return of_flops(elements(outputs[0]) * convention.*weight);
}

template <int64_t CountConvention::*weight>
OperationCount by_input(
    const CountConvention& convention, Values inputs, Values /*outputs*/) {
  return of_flops(elements(inputs[0]) * convention.*weight);
}

// ---- By name ----

constexpr size_t kNoInput = 1000;

using Formulas = std::unordered_map<std::string, Formula>;

void add_formula(
    Formulas& formulas,
    Formula formula,
    std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    formulas.emplace(name, formula);
  }
}

void add_products(Formulas& formulas) {
  add_formula(
      formulas,
      product<0, 1>,
      {"mm", "bmm", "mv", "dot", "vdot", "_scaled_mm", "_int_mm"});
  add_formula(
      formulas,
      product_added<1, 2>,
      {"addmm",
       "baddbmm",
       "addmv",
       "addbmm",
       "addmm_",
       "baddbmm_",
       "addmv_",
       "addbmm_",
       "_addmm_activation"});
  add_formula(formulas, outer_product, {"addr", "addr_"});
  add_formula(formulas, linear_layer, {"mkldnn_linear"});
}

void add_convolutions(Formulas& formulas) {
  add_formula(
      formulas,
      convolution,
      {"convolution", "_convolution", "convolution_overrideable"});
  add_formula(
      formulas,
      plain_convolution<2>,
      {"mkldnn_convolution",
       "miopen_convolution",
       "_nnpack_spatial_convolution"});
  add_formula(
      formulas,
      plain_convolution<3>,
      {"_slow_conv2d_forward",
       "slow_conv3d_forward",
       "slow_conv_dilated2d",
       "slow_conv_dilated3d",
       "_conv_depthwise2d",
       "conv_depthwise3d"});
  add_formula(formulas, plain_convolution<kNoInput>, {"cudnn_convolution"});
  add_formula(formulas, convolution_backward, {"convolution_backward"});
}

void add_fused(Formulas& formulas) {
  add_formula(
      formulas,
      attention,
      {"_scaled_dot_product_flash_attention",
       "_scaled_dot_product_flash_attention_for_cpu",
       "_scaled_dot_product_efficient_attention",
       "_scaled_dot_product_cudnn_attention",
       "_scaled_dot_product_fused_attention_overrideable"});
  add_formula(
      formulas,
      attention_backward,
      {"_scaled_dot_product_flash_attention_backward",
       "_scaled_dot_product_flash_attention_for_cpu_backward",
       "_scaled_dot_product_efficient_attention_backward",
       "_scaled_dot_product_cudnn_attention_backward",
       "_scaled_dot_product_fused_attention_overrideable_backward"});
  add_formula(formulas, recurrent_layer, {"mkldnn_rnn_layer"});
  add_formula(
      formulas, recurrent_layer_backward, {"mkldnn_rnn_layer_backward"});
  add_formula(formulas, recurrent_stack, {"_cudnn_rnn", "miopen_rnn"});
}

void add_norms(Formulas& formulas) {
  // (input, weight, bias, mean, variance, training, ...)
  add_formula(
      formulas,
      batch_norm<1, 5>,
      {"native_batch_norm",
       "_native_batch_norm_legit",
       "cudnn_batch_norm",
       "miopen_batch_norm"});
  add_formula(formulas, batch_norm<1, kNoInput>, {"_batch_norm_with_update"});
  add_formula(
      formulas,
      [](const CountConvention& convention, Values inputs, Values) {
        const NormCount& count = convention.batch_norm;
        return of_flops(
            elements(inputs[0]) *
            (is_given(inputs[1]) ? count.affine : count.plain));
      },
      {"_batch_norm_no_update"});
  // (input, normalized_shape, weight, ...) and (input, weight, ...)
  add_formula(
      formulas, layer_norm<2>, {"native_layer_norm", "_fused_rms_norm"});
  add_formula(formulas, layer_norm<1>, {"native_group_norm"});
}

void add_activations(Formulas& formulas) {
  for (const std::string_view name :
       {"relu",
        "leaky_relu",
        "elu",
        "gelu",
        "silu",
        "sigmoid",
        "tanh",
        "hardtanh",
        "relu6",
        "selu",
        "celu",
        "hardswish",
        "threshold",
        "softplus",
        "mish",
        "log_sigmoid_forward",
        "hardsigmoid"}) {
    const std::string in_place = std::string(name) + "_";
    add_formula(
        formulas, by_output<&CountConvention::activation>, {name, in_place});
  }
  add_formula(
      formulas,
      by_output<&CountConvention::activation>,
      {"_softmax",
       "_log_softmax",
       "_safe_softmax",
       "_prelu_kernel",
       "rrelu_with_noise",
       "glu"});
}

void add_pooling(Formulas& formulas) {
  // The composed ones too: without a gradient some compute by themselves.
  add_formula(
      formulas,
      by_input<&CountConvention::pooling>,
      {"max_pool1d",
       "max_pool2d",
       "max_pool3d",
       "max_pool1d_with_indices",
       "max_pool2d_with_indices",
       "max_pool3d_with_indices",
       "mkldnn_max_pool2d",
       "mkldnn_max_pool3d",
       "avg_pool1d",
       "avg_pool2d",
       "avg_pool3d",
       "fractional_max_pool2d",
       "fractional_max_pool3d"});
  add_formula(
      formulas,
      by_input<&CountConvention::adaptive_pooling>,
      {"adaptive_avg_pool1d",
       "adaptive_avg_pool2d",
       "adaptive_avg_pool3d",
       "_adaptive_avg_pool2d",
       "_adaptive_avg_pool3d",
       "mkldnn_adaptive_avg_pool2d",
       "adaptive_max_pool1d",
       "adaptive_max_pool2d",
       "adaptive_max_pool3d"});
  add_formula(
      formulas,
      by_output<&CountConvention::upsampling>,
      {"upsample_nearest1d",
       "upsample_nearest2d",
       "upsample_nearest3d",
       "_upsample_nearest_exact1d",
       "_upsample_nearest_exact2d",
       "_upsample_nearest_exact3d"});
  add_formula(
      formulas,
      by_output<&CountConvention::interpolation>,
      {"upsample_linear1d",
       "upsample_bilinear2d",
       "upsample_bicubic2d",
       "upsample_trilinear3d",
       "_upsample_bilinear2d_aa",
       "_upsample_bicubic2d_aa",
       "grid_sampler_2d",
       "grid_sampler_3d"});
}

void add_elementwise(Formulas& formulas) {
  add_formula(
      formulas,
      by_input<&CountConvention::elementwise>,
      {"sum",       "mean",
       "prod",      "amax",
       "amin",      "max",
       "min",       "argmax",
       "argmin",    "var",
       "std",       "var_mean",
       "norm",      "linalg_vector_norm",
       "logsumexp", "cumsum",
       "cumprod",   "std_mean",
       "any",       "all"});
  add_formula(
      formulas,
      by_output<&CountConvention::elementwise>,
      {"native_dropout",
       "_thnn_fused_lstm_cell",
       "_thnn_fused_gru_cell",
       "embedding_renorm_",
       "linalg_cross",
       "triu",
       "tril"});
}

const Formulas& formulas() {
  static const Formulas all = [] {
    Formulas made;
    add_products(made);
    add_convolutions(made);
    add_fused(made);
    add_norms(made);
    add_activations(made);
    add_pooling(made);
    add_elementwise(made);
    return made;
  }();
  return all;
}

// Reads, moves, makes: no arithmetic of floating point numbers by any
// convention.
bool only_moves(std::string_view name) {
  static const std::unordered_set<std::string_view> names{
      "_foreach_copy_",
      "_local_scalar_dense",
      "as_strided_",
      "t_",
      "transpose_",
      "unsqueeze_",
      "squeeze_",
      "detach_",
      "requires_grad_",
      "_reshape_alias",
      "_reshape_copy",
      "_to_copy",
      "_unsafe_view",
      "arange",
      "bernoulli",
      "bernoulli_",
      "cat",
      "channel_shuffle",
      "clone",
      "constant_pad_nd",
      "contiguous",
      "copy",
      "copy_",
      "count_nonzero",
      "embedding",
      "empty",
      "empty_like",
      "empty_strided",
      "equal",
      "exponential_",
      "eye",
      "fill",
      "fill_",
      "flip",
      "full",
      "full_like",
      "gather",
      "index",
      "index_copy",
      "index_copy_",
      "index_put_",
      "index_select",
      "isin",
      "item",
      "lift_fresh",
      "linspace",
      "masked_fill",
      "masked_fill_",
      "masked_select",
      "native_channel_shuffle",
      "new_empty",
      "new_empty_strided",
      "new_full",
      "new_ones",
      "new_zeros",
      "nonzero",
      "normal",
      "normal_",
      "one_hot",
      "ones",
      "ones_like",
      "permute_copy",
      "pixel_shuffle",
      "pixel_unshuffle",
      "rand",
      "rand_like",
      "randint",
      "randn",
      "randn_like",
      "random_",
      "randperm",
      "reflection_pad1d",
      "reflection_pad2d",
      "reflection_pad3d",
      "repeat",
      "repeat_interleave",
      "replication_pad1d",
      "replication_pad2d",
      "replication_pad3d",
      "resize_",
      "resize_as_",
      "roll",
      "rot90",
      "scalar_tensor",
      "scatter",
      "scatter_",
      "select_scatter",
      "set_",
      "slice_scatter",
      "sort",
      "stack",
      "take",
      "to_mkldnn",
      "to_dense",
      "topk",
      "tril_indices",
      "triu_indices",
      "unfold_copy",
      "uniform_",
      "unique_dim",
      "view_copy",
      "zero_",
      "zeros",
      "zeros_like",
      "_fused_sdp_choice",
      "_has_compatible_shallow_copy_type",
      "_cudnn_rnn_flatten_weight",
      "_pack_padded_sequence",
      "mkldnn_reorder_conv2d_weight",
      "_mkldnn_reshape",
      "is_same_size",
      "is_pinned",
      "pin_memory",
      "record_stream",
      "set_data",
      "_version",
      "_conj_physical",
      "_sparse_coo_tensor_unsafe",
      "_resize_output_"};
  return names.contains(name);
}

// The backwards of what is weighed by element, and losses: no convention counts
// them.
bool is_left_out(std::string_view name) {
  static const std::unordered_set<std::string_view> names{
      "_adaptive_avg_pool2d_backward",
      "_adaptive_avg_pool3d_backward",
      "_log_softmax_backward_data",
      "_softmax_backward_data",
      "_thnn_fused_gru_cell_backward",
      "_thnn_fused_lstm_cell_backward_impl",
      "adaptive_max_pool2d_backward",
      "adaptive_max_pool3d_backward",
      "avg_pool2d_backward",
      "avg_pool3d_backward",
      "batch_norm_backward",
      "binary_cross_entropy",
      "binary_cross_entropy_backward",
      "cudnn_batch_norm_backward",
      "embedding_dense_backward",
      "max_pool2d_with_indices_backward",
      "max_pool3d_with_indices_backward",
      "miopen_batch_norm_backward",
      "mkldnn_max_pool2d_backward",
      "mse_loss",
      "native_batch_norm_backward",
      "native_dropout_backward",
      "native_group_norm_backward",
      "native_layer_norm_backward",
      "nll_loss2d_backward",
      "nll_loss2d_forward",
      "nll_loss_backward",
      "nll_loss_forward",
      "smooth_l1_loss",
      "upsample_bilinear2d_backward",
      "upsample_nearest2d_backward",
      "value_selecting_reduction_backward"};
  return names.contains(name);
}

// A view: its first argument and its result are of one memory, and not written.
bool is_view(const c10::OperatorHandle& op) {
  const auto& arguments = op.schema().arguments();
  if (arguments.empty() || op.schema().returns().empty()) {
    return false;
  }
  const auto* alias = arguments[0].alias_info();
  return alias != nullptr && !alias->isWrite() &&
         op.schema().returns()[0].alias_info() != nullptr;
}

bool is_composite(const c10::OperatorHandle& op) {
  return op.hasKernelForDispatchKey(
      c10::DispatchKey::CompositeImplicitAutograd);
}

OperatorRule make_rule(const c10::OperatorHandle& op) {
  using Kind = OperatorRule::Kind;
  OperatorRule rule;
  rule.name = op.operator_name().name;
  constexpr std::string_view kAten = "aten::";
  if (rule.name.starts_with(kAten)) {
    const auto name = std::string_view(rule.name).substr(kAten.size());
    const auto found = formulas().find(std::string(name));
    if (found != formulas().end()) {
      rule.kind = Kind::kCounts;
      rule.formula = found->second;
      return rule;
    }
    if (only_moves(name) || is_left_out(name)) {
      rule.kind = Kind::kComputesNot;
      return rule;
    }
  }
  if (is_composite(op)) {
    rule.kind = Kind::kIsItsParts;
  } else if (is_view(op)) {
    rule.kind = Kind::kComputesNot;
  } else if (op.hasTag(at::Tag::pointwise)) {
    rule.kind = Kind::kCounts;
    rule.formula = by_output<&CountConvention::elementwise>;
  }
  return rule;
}

}  // namespace

const OperatorRule& rule_of(const c10::OperatorHandle& op) {
  static std::mutex mutex;
  static std::unordered_map<c10::OperatorName, OperatorRule> rules;
  const std::scoped_lock lock(mutex);
  auto found = rules.find(op.operator_name());
  if (found == rules.end()) {
    found = rules.emplace(op.operator_name(), make_rule(op)).first;
  }
  return found->second;
}

}  // namespace gatedpaths::detail
