// SPDX-License-Identifier: MIT
#include "hollow.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

namespace gatedpaths::detail {
namespace {

template <class Visit>
void visit_tensors(const torch::nn::Module& module, Visit visit) {
  for (const auto& item : module.named_parameters()) {
    if (item.value().defined()) {
      visit(item.key(), item.value());
    }
  }
  for (const auto& item : module.named_buffers()) {
    if (item.value().defined()) {
      visit(item.key(), item.value());
    }
  }
}

bool is_hollow(const at::Tensor& tensor) {
  const auto strides = tensor.strides();
  return tensor.numel() > 1 &&
         std::all_of(strides.begin(), strides.end(), [](int64_t stride) {
           return stride == 0;
         });
}

bool can_be_hollow(const at::Tensor& tensor) {
  return tensor.numel() > 1 && tensor.layout() == at::kStrided &&
         !tensor.is_quantized() && !tensor.is_inference() && !tensor.is_meta();
}

void take_memory(const at::Tensor& tensor) {
  if (can_be_hollow(tensor) && !is_hollow(tensor)) {
    tensor.set_data(at::zeros({}, tensor.options()).expand(tensor.sizes()));
    tensor.mutable_grad() = at::Tensor();
  }
}

}  // namespace

TensorSet tensors_of(const torch::nn::Module& module) {
  TensorSet tensors;
  visit_tensors(module, [&](const std::string&, const at::Tensor& tensor) {
    tensors.insert(tensor.unsafeGetTensorImpl());
  });
  return tensors;
}

void make_hollow(torch::nn::Module& module, const TensorSet& kept) {
  const at::NoGradGuard no_grad;
  visit_tensors(module, [&](const std::string&, const at::Tensor& tensor) {
    if (!kept.contains(tensor.unsafeGetTensorImpl())) {
      take_memory(tensor);
    }
  });
}

HollowTensors::HollowTensors(torch::nn::Module& module) : module_(module) {
  visit_tensors(module, [&](const std::string& name, const at::Tensor& tensor) {
    if (tensor.layout() == at::kStrided && is_hollow(tensor)) {
      names_.insert(name);
    }
  });
}

HollowTensors::~HollowTensors() { make_hollow_too(module_); }

void HollowTensors::make_hollow_too(torch::nn::Module& copy) const {
  const at::NoGradGuard no_grad;
  visit_tensors(copy, [&](const std::string& name, const at::Tensor& tensor) {
    if (names_.contains(name)) {
      take_memory(tensor);
    }
  });
}

}  // namespace gatedpaths::detail
