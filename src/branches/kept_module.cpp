// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/kept_module.hpp>

#include "tensor_memory.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>
#include <torch/nn/modules/embedding.h>

#include <fmt/format.h>

#include <string>
#include <utility>

namespace gatedpaths::detail {
namespace {

// parameters() copies the list and, on its way, all names.
struct OwnParameters : torch::nn::Module {
  static const auto& of(const torch::nn::Module& module) {
    return module.*(&OwnParameters::parameters_);
  }
};

size_t count_registered(
    const torch::nn::Module& module, size_t buffers, size_t children) {
  return OwnParameters::of(module).size() + buffers + children;
}

int64_t version_of(const at::Tensor& tensor) {
  return tensor.is_inference() ? -1 : static_cast<int64_t>(tensor._version());
}

// The memory from the first element to the last, in one dim: so that values can
// be put back whatever the strides are.
at::Tensor extent_of(const at::Tensor& tensor) {
  int64_t extent = tensor.numel() == 0 ? 0 : 1;
  if (extent != 0) {
    for (int64_t d = 0; d < tensor.dim(); ++d) {
      extent += (tensor.size(d) - 1) * tensor.stride(d);
    }
  }
  auto flat = at::empty({0}, tensor.options());
  flat.set_(tensor.storage(), tensor.storage_offset(), {extent}, {1});
  return flat;
}

// The weight that forwards of an embedding renormalise; undefined where none.
at::Tensor renormalised_weight(const torch::nn::Module& module) {
  if (const auto* one = dynamic_cast<const torch::nn::EmbeddingImpl*>(&module);
      one != nullptr && one->options.max_norm()) {
    return one->weight;
  }
  if (const auto* bag =
          dynamic_cast<const torch::nn::EmbeddingBagImpl*>(&module);
      bag != nullptr && bag->options.max_norm()) {
    return bag->weight;
  }
  return {};
}

std::string changed_parameter_name(
    const torch::nn::Module& root, const at::Tensor& parameter) {
  for (const auto& item : root.named_parameters()) {
    if (item.value().is_same(parameter)) {
      return item.key();
    }
  }
  return "?";  // no longer registered
}

}  // namespace

// Delegates, so that what was kept is put back where it throws.
KeptModule::KeptModule(torch::nn::Module& module, bool track_statistics)
    : KeptModule() {
  const at::NoGradGuard no_grad;
  const c10::InferenceMode normal_tensors(false);
  keep(module, nullptr, track_statistics);
  for (const Part& part : parts_) {
    watch_parameters(*part.module);
  }
}

KeptModule::~KeptModule() {
  const at::NoGradGuard no_grad;
  states_.clear();
  for (const Part& part : parts_) {
    // train() recurses, so that in this order each ends with its own flag.
    if (part.module->is_training() != part.training) {
      part.module->train(part.training);
    }
  }
  for (Kept& kept : tensors_) {
    kept.live.set_data(kept.original);
    if (kept.values.defined()) {
      // Not through `live`, for which it would count as a change.
      extent_of(kept.original).copy_(kept.values);
    }
    if (kept.version >= 0 && version_of(kept.live) != kept.version) {
      // A graph that an open forward recorded may have saved these very values.
      auto counter = kept.live.unsafeGetTensorImpl()->version_counter();
      counter.set_version(kept.version);
    }
  }
}

void KeptModule::check(const BranchLabel& branch) const {
  for (const Watched& parameter : parameters_) {
    TORCH_CHECK_VALUE(
        version_of(parameter.live) == parameter.version &&
            storage_of(parameter.live) == parameter.memory,
        fmt::format(
            "{}::forward: expected {} to leave its parameters as they are "
            "while it is closed, got '{}' changed; use Skip::kZeroFill with a "
            "declared output_shape, which does not run it, or register what "
            "forwards change as a buffer",
            branch.gate_kind,
            branch.text(),
            changed_parameter_name(*parts_.front().module, parameter.live)));
  }
  for (const Part& part : parts_) {
    const size_t now = count_registered(
        *part.module,
        part.module->buffers(/*recurse=*/false).size(),
        part.module->children().size());
    TORCH_CHECK_VALUE(
        now == part.registered,
        fmt::format(
            "{}::forward: expected {} to have registered all its parameters, "
            "buffers and modules before it runs closed, got {} in place of {} "
            "in a {}; run it open once before, or register them when it is "
            "made",
            branch.gate_kind,
            branch.text(),
            now,
            part.registered,
            part.module->name()));
  }
}

void KeptModule::keep(
    torch::nn::Module& module,
    const std::shared_ptr<torch::nn::Module>& owner,
    bool track_statistics) {
  if (!seen_.insert(&module).second) {
    return;
  }
  const auto buffers = module.buffers(/*recurse=*/false);
  const auto children = module.children();
  parts_.push_back(
      {&module,
       owner,
       module.is_training(),
       count_registered(module, buffers.size(), children.size())});
  if (auto* restorable = dynamic_cast<Restorable*>(&module)) {
    states_.push_back(restorable->keep());
  }
  if (!track_statistics) {
    for (const auto& buffer : buffers) {
      keep_tensor(buffer);
    }
  }
  keep_tensor(renormalised_weight(module));
  for (const auto& child : children) {
    keep(*child, child, track_statistics);
  }
}

void KeptModule::keep_tensor(const at::Tensor& tensor) {
  if (!tensor.defined() || !seen_.insert(tensor.unsafeGetTensorImpl()).second) {
    return;
  }
  Kept kept{tensor, tensor.variable_data(), {}, version_of(tensor)};
  // Its memory is the tensor's and the copy's: then nobody else can see it.
  const bool is_alone = !tensor.has_storage() || tensor.is_quantized() ||
                        tensor.storage().use_count() == 2;
  if (is_alone) {
    // The module works on a copy and gets its own memory back: one copy less.
    tensor.set_data(kept.original.clone());
  } else {
    // A view of it must see what is written to it, and the other way round.
    kept.values = extent_of(kept.original).clone();
  }
  tensors_.push_back(std::move(kept));
}

void KeptModule::watch_parameters(const torch::nn::Module& module) {
  for (const auto& item : OwnParameters::of(module)) {
    const at::Tensor& parameter = item.value();
    if (parameter.defined() &&
        !seen_.contains(parameter.unsafeGetTensorImpl())) {
      parameters_.push_back(
          {parameter, storage_of(parameter), version_of(parameter)});
    }
  }
}

}  // namespace gatedpaths::detail
