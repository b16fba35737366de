// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/sample_gates.hpp>

#include "sum_dtype.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/index_select.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

namespace gatedpaths::detail {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Rows = std::vector<at::Tensor>;

// Below it a second thread costs more than it saves.
constexpr size_t kBytesAThread = size_t{1} << 17U;

// The memory of a batch, one row a sample, whatever its memory format: the
// kernels are fastest on such. Undefined where a sample is not in one piece.
at::Tensor memory_rows(const at::Tensor& batch) {
  if (batch.numel() == 0 || !batch.is_non_overlapping_and_dense()) {
    return {};
  }
  const int64_t samples = batch.size(0);
  const int64_t row = batch.numel() / samples;
  if (samples > 1 && batch.stride(0) != row) {
    return {};
  }
  return batch.as_strided({samples, row}, {row, 1});
}

// Without values, as `like` but for the number of samples.
at::Tensor batch_like(const at::Tensor& like, int64_t samples) {
  auto sizes = like.sizes().vec();
  sizes.front() = samples;
  if (!memory_rows(like).defined()) {
    return at::empty(sizes, like.options());
  }
  auto strides = like.strides().vec();
  strides.front() = like.numel() / like.size(0);
  return at::empty_strided(sizes, strides, like.options());
}

at::Tensor copy_of_rows(const at::Tensor& input, const at::Tensor& rows) {
  const auto source = memory_rows(input);
  if (!source.defined()) {
    return input.index_select(0, rows);
  }
  // Written through a view, since a child may change its input in place, which
  // views that a function returns do not allow.
  auto taken = batch_like(input, rows.size(0));
  auto target = memory_rows(taken);
  at::index_select_out(target, source, 0, rows);
  return taken;
}

// Whether its memory holds its values, for the host to read and write.
bool is_plain_memory(const at::Tensor& tensor) {
  return tensor.is_cpu() && !tensor.is_conj() && !tensor.is_neg();
}

// The bytes of a row of `memory_rows`.
size_t row_bytes(const at::Tensor& rows) {
  return static_cast<size_t>(rows.stride(0)) * rows.itemsize();
}

template <class Visit>
void for_each_row(int64_t count, size_t bytes, const Visit& visit) {
  const auto grain =
      std::max(int64_t{1}, static_cast<int64_t>(kBytesAThread / bytes));
  at::parallel_for(0, count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      visit(static_cast<size_t>(i));
    }
  });
}

// Row i of `source` to row `rows[i]` of `target`, both of `memory_rows` and
// plain memory: several times as fast as index_copy_ there, which goes element
// by element.
void copy_rows(
    const at::Tensor& target,
    const at::Tensor& rows,
    const at::Tensor& source) {
  const size_t bytes = row_bytes(target);
  const auto* to = rows.const_data_ptr<int64_t>();
  auto* out = static_cast<char*>(target.mutable_data_ptr());
  const auto* in = static_cast<const char*>(source.const_data_ptr());
  for_each_row(rows.size(0), bytes, [&](size_t i) {
    std::memcpy(
        out + static_cast<size_t>(to[i]) * bytes, in + i * bytes, bytes);
  });
}

void write_rows(
    const at::Tensor& sum,
    const at::Tensor& value,
    const at::Tensor& rows,
    bool add) {
  const bool alike = value.strides().slice(1) == sum.strides().slice(1);
  const auto value_rows = alike ? memory_rows(value) : at::Tensor();
  const auto sum_rows = value_rows.defined() ? memory_rows(sum) : at::Tensor();
  const bool in_rows = sum_rows.defined();
  const auto& target = in_rows ? sum_rows : sum;
  const auto& source = in_rows ? value_rows : value;
  if (add) {
    target.index_add_(0, rows, source);
  } else if (
      in_rows && rows.is_cpu() && is_plain_memory(target) &&
      is_plain_memory(source) && target.scalar_type() == source.scalar_type()) {
    copy_rows(target, rows, source);
  } else {
    target.index_copy_(0, rows, source);
  }
}

// Zeros where none of the values will stand.
void clear_other_rows(const at::Tensor& sum, const Rows& rows) {
  const auto target = memory_rows(sum);
  if (!target.defined() || !is_plain_memory(target) || !rows.front().is_cpu()) {
    sum.zero_();
    return;
  }
  std::vector<bool> written(static_cast<size_t>(target.size(0)));
  for (const auto& list : rows) {
    const auto* row = list.const_data_ptr<int64_t>();
    for (int64_t i = 0; i < list.size(0); ++i) {
      written[static_cast<size_t>(row[i])] = true;
    }
  }
  const size_t bytes = row_bytes(target);
  auto* out = static_cast<char*>(target.mutable_data_ptr());
  for_each_row(target.size(0), bytes, [&](size_t i) {
    if (!written[i]) {
      std::memset(out + i * bytes, 0, bytes);
    }
  });
}

at::Tensor sum_in_own_dtype(
    at::TensorList values, const Rows& rows, int64_t batch, bool disjoint) {
  int64_t covered = 0;
  for (const auto& value : values) {
    covered += value.size(0);
  }
  const bool starts_whole = !rows.front().defined();
  auto sum =
      starts_whole ? values.front().clone() : batch_like(values.front(), batch);
  if (!starts_whole && !disjoint) {
    sum.zero_();
  } else if (!starts_whole && covered < batch) {
    clear_other_rows(sum, rows);
  }
  for (size_t i = starts_whole ? 1 : 0; i < values.size(); ++i) {
    if (rows[i].defined()) {
      write_rows(sum, values[i], rows[i], /*add=*/!disjoint);
    } else {
      sum.add_(values[i]);
    }
  }
  return sum;
}

at::Tensor sum_of_rows(
    at::TensorList values, const Rows& rows, int64_t batch, bool disjoint) {
  const auto dtype = values.front().scalar_type();
  if (disjoint || !is_reduced(dtype)) {
    return sum_in_own_dtype(values, rows, batch, disjoint);
  }
  variable_list wide;
  wide.reserve(values.size());
  for (const auto& value : values) {
    wide.push_back(value.to(sum_dtype(dtype)));
  }
  return sum_in_own_dtype(wide, rows, batch, disjoint).to(dtype);
}

// One node for all branches, so that a backward fills one gradient of the
// input, not one for each. Each of the two is the other's backward.
class TakeRows : public torch::autograd::Function<TakeRows> {
 public:
  static variable_list forward(
      AutogradContext* context,
      const at::Tensor& input,
      const Rows& rows,
      bool disjoint) {
    context->set_materialize_grads(false);
    context->save_for_backward(rows);
    context->saved_data["batch"] = input.size(0);
    context->saved_data["disjoint"] = disjoint;
    variable_list taken;
    taken.reserve(rows.size());
    for (const auto& list : rows) {
      taken.push_back(copy_of_rows(input, list));
    }
    return taken;
  }

  static variable_list backward(
      AutogradContext* context, const variable_list& gradients) {
    const auto all_rows = context->get_saved_variables();
    variable_list defined;
    Rows rows;
    for (size_t i = 0; i < gradients.size(); ++i) {
      if (gradients[i].defined()) {
        defined.push_back(gradients[i]);
        rows.push_back(all_rows[i]);
      }
    }
    auto gradient = defined.empty()
                        ? at::Tensor()
                        : put_rows(
                              defined,
                              rows,
                              context->saved_data["batch"].toInt(),
                              context->saved_data["disjoint"].toBool());
    return {std::move(gradient), {}, {}};
  }
};

class PutRows : public torch::autograd::Function<PutRows> {
 public:
  static at::Tensor forward(
      AutogradContext* context,
      at::TensorList values,
      const Rows& rows,
      int64_t batch,
      bool disjoint) {
    context->set_materialize_grads(false);
    context->save_for_backward(rows);
    context->saved_data["disjoint"] = disjoint;
    return sum_of_rows(values, rows, batch, disjoint);
  }

  static variable_list backward(
      AutogradContext* context, const variable_list& gradients) {
    const auto all_rows = context->get_saved_variables();
    variable_list result(all_rows.size() + 3);
    if (!gradients.front().defined()) {
      return result;
    }
    std::vector<size_t> wanted;
    Rows rows;
    for (size_t i = 0; i < all_rows.size(); ++i) {
      if (context->needs_input_grad(i)) {
        wanted.push_back(i);
        rows.push_back(all_rows[i]);
      }
    }
    auto parts = take_rows(
        gradients.front(), rows, context->saved_data["disjoint"].toBool());
    for (size_t i = 0; i < wanted.size(); ++i) {
      result[wanted[i]] = std::move(parts[i]);
    }
    return result;
  }
};

}  // namespace

std::vector<at::Tensor> take_rows(
    const at::Tensor& input, const Rows& rows, bool disjoint) {
  std::vector<at::Tensor> result(rows.size(), input);
  Rows partial;
  for (const auto& list : rows) {
    if (list.defined()) {
      partial.push_back(list);
    }
  }
  if (partial.empty()) {
    return result;
  }
  auto taken = TakeRows::apply(input, partial, disjoint);
  auto next = taken.begin();
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].defined()) {
      result[i] = std::move(*next++);
    }
  }
  return result;
}

at::Tensor put_rows(
    at::TensorList values, const Rows& rows, int64_t batch, bool disjoint) {
  if (values.size() == 1 && !rows.front().defined()) {
    return values.front();
  }
  return PutRows::apply(values, rows, batch, disjoint);
}

}  // namespace gatedpaths::detail
