// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/output_memory.hpp>

#include <gatedpaths/branches/detail/no_trace.hpp>

#include <ATen/autocast_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <exception>

namespace gatedpaths::detail {
namespace {

// Inputs of ever new sizes must not grow the memory without bound.
constexpr size_t kMaxEntries = 64;

// The state of autocast that an entry was made under.
class AutocastScope {
 public:
  explicit AutocastScope(const InputKind& input)
      : device_(input.device.type()),
        enabled_(autocast_dtype(device_).has_value()),
        wanted_(input.autocast.has_value()) {
    if (enabled_ != wanted_) {
      at::autocast::set_autocast_enabled(device_, wanted_);
    }
    if (input.autocast) {
      dtype_ = at::autocast::get_autocast_dtype(device_);
      at::autocast::set_autocast_dtype(device_, *input.autocast);
    }
  }
  ~AutocastScope() {
    if (dtype_) {
      at::autocast::set_autocast_dtype(device_, *dtype_);
    }
    if (enabled_ != wanted_) {
      at::autocast::set_autocast_enabled(device_, enabled_);
    }
  }
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  at::DeviceType device_;
  bool enabled_;
  bool wanted_;
  std::optional<at::ScalarType> dtype_;
};

TensorSpec fixed_spec(const at::Tensor& tensor) {
  TensorSpec spec;
  if (!tensor.defined()) {
    spec.defined = false;
    return spec;
  }
  for (const int64_t size : tensor.sizes()) {
    spec.sizes.push_back({.fixed = size, .per_sample = 0});
  }
  spec.dtype = tensor.scalar_type();
  spec.device = tensor.device();
  spec.memory_format = tensor.suggest_memory_format();
  return spec;
}

OutputSpec probed_spec(const FlatOutput& output) {
  OutputSpec spec;
  spec.source = OutputSpec::Source::kProbed;
  spec.structure.assign(output.structure.begin(), output.structure.end());
  for (const auto& tensor : output.tensors) {
    spec.tensors.push_back(fixed_spec(tensor));
  }
  return spec;
}

// An empty tensor's strides say little about its memory format; children keep
// that of their input as long as they keep its dims.
void take_format_of_input(OutputSpec& spec, const InputKind& input) {
  for (auto& tensor : spec.tensors) {
    const bool same_dims = tensor.sizes.size() == input.sizes.size() + 1;
    tensor.memory_format =
        same_dims ? input.memory_format : at::MemoryFormat::Contiguous;
  }
}

bool same_sizes(const OutputSpec& a, const OutputSpec& b, int64_t batch) {
  return a.structure == b.structure &&
         std::equal(
             a.tensors.begin(),
             a.tensors.end(),
             b.tensors.begin(),
             b.tensors.end(),
             [batch](const TensorSpec& x, const TensorSpec& y) {
               return x.defined == y.defined &&
                      x.sizes_at(batch) == y.sizes_at(batch);
             });
}

// `returned`: what is known for one batch size alone, if anything.
OutputSpec probe_empty(
    Probe probe,
    const InputKind& input,
    const std::optional<OutputSpec>& returned) {
  TORCH_CHECK(
      std::find(input.sizes.begin(), input.sizes.end(), 0) == input.sizes.end(),
      "the sizes of one sample have a zero too");
  OutputSpec spec = probed_spec(probe(0));
  for (auto& tensor : spec.tensors) {
    for (SizeRule& size : tensor.sizes) {
      if (size.fixed == 0) {
        size.per_sample = 1;
      }
    }
  }
  TORCH_CHECK(
      !returned || same_sizes(spec, *returned, *returned->only_batch),
      "the sizes disagree with what it returned before");
  take_format_of_input(spec, input);
  return spec;
}

// With one sample, sizes of one cannot be told from the batch, so a second
// probe tells how each size grows.
OutputSpec probe_samples(Probe probe, const InputKind& input) {
  OutputSpec one = probed_spec(probe(1));
  const OutputSpec two = probed_spec(probe(2));
  TORCH_CHECK(
      one.tensors.size() == two.tensors.size() &&
          one.structure == two.structure,
      "its output has ",
      one.tensors.size(),
      " tensors for one sample and ",
      two.tensors.size(),
      " for two");
  for (size_t t = 0; t < one.tensors.size(); ++t) {
    auto& sizes = one.tensors[t].sizes;
    const auto& grown = two.tensors[t].sizes;
    TORCH_CHECK(
        sizes.size() == grown.size(),
        "its output has ",
        sizes.size(),
        " dims for one sample and ",
        grown.size(),
        " for two");
    for (size_t d = 0; d < sizes.size(); ++d) {
      sizes[d].per_sample = grown[d].fixed - sizes[d].fixed;
      sizes[d].fixed -= sizes[d].per_sample;
    }
  }
  take_format_of_input(one, input);
  return one;
}

OutputSpec probe_all(Probe probe, int64_t batch) {
  OutputSpec spec = probed_spec(probe(-1));
  spec.only_batch = batch;
  return spec;
}

std::string first_line(const std::exception& error) {
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  const std::string text = torch_error != nullptr
                               ? torch_error->what_without_backtrace()
                               : error.what();
  return text.substr(0, text.find('\n'));
}

std::optional<at::ScalarType> first_floating_dtype(
    const torch::nn::Module& module) {
  for (const auto& parameter : module.parameters()) {
    if (parameter.defined() && parameter.is_floating_point()) {
      return parameter.scalar_type();
    }
  }
  return std::nullopt;
}

OutputSpec declared_spec(const ClosedBranch& branch, const InputKind& input) {
  TensorSpec tensor;
  if (input.has_batch) {
    tensor.sizes.push_back({.fixed = 0, .per_sample = 1});
  }
  for (const int64_t size : branch.shape.sizes(input.sizes)) {
    tensor.sizes.push_back({.fixed = size, .per_sample = 0});
  }
  tensor.device = input.device;
  if (branch.shape.dtype()) {
    tensor.dtype = *branch.shape.dtype();
  } else if (input.autocast) {
    tensor.dtype = *input.autocast;
  } else {
    tensor.dtype = first_floating_dtype(branch.module).value_or(input.dtype);
  }
  OutputSpec spec;
  spec.source = OutputSpec::Source::kDeclared;
  spec.tensors.push_back(std::move(tensor));
  take_format_of_input(spec, input);
  return spec;
}

OutputSpec probe_spec(
    const ClosedBranch& branch,
    const OutputEntry& entry,
    int64_t batch,
    Probe probe) {
  const AutocastScope autocast(entry.input);
  const NoTrace no_trace(branch.module, entry.input.device);
  std::vector<std::string> failures;
  const auto attempt = [&](const char* what, auto&& run) {
    try {
      return std::optional<OutputSpec>(run());
    } catch (const std::exception& error) {
      failures.push_back(fmt::format("{}: {}", what, first_line(error)));
      return std::optional<OutputSpec>();
    }
  };
  auto spec = attempt("with an empty batch", [&] {
    return probe_empty(
        probe, entry.input, entry.specs[static_cast<size_t>(branch.index)]);
  });
  if (!spec) {
    const EvalScope eval(branch.module);
    spec = attempt("with one and two samples in eval mode", [&] {
      return probe_samples(probe, entry.input);
    });
    if (!spec) {
      spec = attempt("with the whole batch in eval mode", [&] {
        return probe_all(probe, batch);
      });
    }
  }
  TORCH_CHECK(
      spec.has_value(),
      branch.gate_kind,
      "::forward: expected to know what shape ",
      branch_text(branch.index, branch.name),
      " would return for an input of ",
      c10::IntArrayRef(entry.input.sizes),
      " a sample, but it is closed, has not run on such an input, and every "
      "probe failed (",
      fmt::format("{}", fmt::join(failures, "; ")),
      "); declare its output_shape, or run it open once, or use Skip::kNoGrad");
  return *std::move(spec);
}

}  // namespace

InputKind InputKind::of(const at::Tensor& input) {
  InputKind kind;
  const auto sizes = input.sizes();
  kind.has_batch = !sizes.empty();
  if (kind.has_batch) {
    kind.sizes.assign(sizes.begin() + 1, sizes.end());
  }
  kind.dtype = input.scalar_type();
  kind.device = input.device();
  kind.memory_format = input.suggest_memory_format();
  kind.autocast = autocast_dtype(input.device().type());
  return kind;
}

at::Tensor InputKind::zeros(int64_t samples) const {
  TensorSpec spec;
  if (has_batch) {
    spec.sizes.push_back({.fixed = samples, .per_sample = 0});
  }
  for (const int64_t size : sizes) {
    spec.sizes.push_back({.fixed = size, .per_sample = 0});
  }
  spec.dtype = dtype;
  spec.device = device;
  spec.memory_format = memory_format;
  return spec.zeros(samples);
}

std::string branch_text(int64_t index, std::string_view name) {
  return fmt::format("branch {} ('{}')", index, name);
}

void OutputMemory::clear() noexcept {
  last_.reset();
  entries_.clear();
}

const std::shared_ptr<OutputEntry>& OutputMemory::find_or_make(
    const InputSignature& signature) {
  const auto found =
      std::find_if(entries_.begin(), entries_.end(), [&](const auto& entry) {
        return entry->signature == signature;
      });
  if (found != entries_.end()) {
    last_ = *found;
    return last_;
  }
  if (entries_.size() == kMaxEntries) {
    entries_.erase(entries_.begin());
  }
  last_ = std::make_shared<OutputEntry>();
  last_->signature = signature;
  last_->signature.forget_tensor();
  last_->input = InputKind::of(*signature.first_tensor());
  last_->specs.resize(branches_);
  entries_.push_back(last_);
  return last_;
}

bool describes(
    const OutputSpec& spec, const at::Tensor& output, int64_t batch) {
  if (!output.defined() || spec.source != OutputSpec::Source::kReturned ||
      spec.tensors.size() != 1 || !spec.holds_for(batch)) {
    return false;
  }
  const TensorSpec& tensor = spec.tensors.front();
  const auto sizes = output.sizes();
  if (sizes.size() != tensor.sizes.size() ||
      output.scalar_type() != tensor.dtype ||
      output.device() != tensor.device) {
    return false;
  }
  for (size_t d = 0; d < sizes.size(); ++d) {
    if (sizes[d] != tensor.sizes[d].at(batch)) {
      return false;
    }
  }
  return output.suggest_memory_format() == tensor.memory_format;
}

OutputSpec spec_of_returned(const FlatOutput& output, int64_t batch) {
  OutputSpec spec = probed_spec(output);
  spec.source = OutputSpec::Source::kReturned;
  // One tensor whose first size is the batch's follows the batch; in anything
  // else equal numbers may be a coincidence.
  if (spec.tensors.size() == 1 && spec.structure.empty() && batch >= 0 &&
      !spec.tensors.front().sizes.empty() &&
      spec.tensors.front().sizes.front().fixed == batch) {
    spec.tensors.front().sizes.front() = {.fixed = 0, .per_sample = 1};
  } else {
    spec.only_batch = batch;
  }
  return spec;
}

void update_known(
    std::optional<OutputSpec>& known, OutputSpec returned, int64_t batch) {
  if (known && !known->only_batch && same_sizes(*known, returned, batch)) {
    for (size_t t = 0; t < returned.tensors.size(); ++t) {
      returned.tensors[t].sizes = known->tensors[t].sizes;
    }
    returned.only_batch.reset();
  }
  known = std::move(returned);
}

void check_declared(
    const ClosedBranch& branch,
    const InputKind& input,
    const OutputSpec& returned,
    int64_t batch) {
  if (!branch.shape.has_sizes() && !branch.shape.dtype()) {
    return;
  }
  const TensorSpec& actual = returned.tensors.front();
  if (branch.shape.has_sizes()) {
    const OutputSpec declared = declared_spec(branch, input);
    TORCH_CHECK_VALUE(
        declared.tensors.front().sizes_at(batch) == actual.sizes_at(batch),
        branch.gate_kind,
        "::forward: expected ",
        branch_text(branch.index, branch.name),
        " to return its declared output_shape ",
        declared.tensors.front().text(batch),
        ", got ",
        actual.text(batch));
  }
  if (branch.shape.dtype()) {
    TORCH_CHECK_VALUE(
        *branch.shape.dtype() == actual.dtype,
        branch.gate_kind,
        "::forward: expected ",
        branch_text(branch.index, branch.name),
        " to return its declared dtype ",
        *branch.shape.dtype(),
        ", got ",
        actual.dtype);
  }
}

const OutputSpec& closed_spec(
    const ClosedBranch& branch,
    OutputEntry& entry,
    int64_t batch,
    Probe probe) {
  auto& known = entry.specs[static_cast<size_t>(branch.index)];
  if (branch.shape.is_like_open_sibling() && branch.open_sibling != nullptr) {
    return *branch.open_sibling;
  }
  if (known && known->holds_for(batch)) {
    return *known;
  }
  known = branch.shape.has_sizes() ? declared_spec(branch, entry.input)
                                   : probe_spec(branch, entry, batch, probe);
  return *known;
}

void check_device(
    std::string_view gate_kind,
    int64_t index,
    std::string_view name,
    const torch::nn::Module& module,
    at::Device device) {
  const auto parameters = module.parameters();
  const auto elsewhere = std::find_if(
      parameters.begin(), parameters.end(), [](const at::Tensor& parameter) {
        return parameter.defined();
      });
  if (elsewhere == parameters.end() ||
      std::any_of(elsewhere, parameters.end(), [&](const at::Tensor& p) {
        return p.defined() && p.device() == device;
      })) {
    return;
  }
  TORCH_CHECK_VALUE(
      false,
      gate_kind,
      "::forward: expected an input on ",
      elsewhere->device(),
      ", where ",
      branch_text(index, name),
      " has its parameters, got one on ",
      device);
}

void check_rows(
    std::string_view gate_kind,
    int64_t index,
    std::string_view name,
    const at::Tensor& output,
    int64_t samples) {
  TORCH_CHECK_VALUE(
      output.dim() > 0 && output.size(0) == samples,
      gate_kind,
      "::forward: expected ",
      branch_text(index, name),
      " to return one row for each of the ",
      samples,
      " samples that it ran on, got ",
      output.sizes());
}

void check_input_kept(
    std::string_view gate_kind,
    int64_t index,
    std::string_view name,
    int64_t before,
    int64_t after) {
  TORCH_CHECK_VALUE(
      before == after,
      gate_kind,
      "::forward: expected ",
      branch_text(index, name),
      " to leave its input as it is while it is closed, got one that is "
      "changed in place; use Skip::kZeroFill, or layers that do not work in "
      "place");
}

}  // namespace gatedpaths::detail
