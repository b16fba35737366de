// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/closed_spec.hpp>

#include <gatedpaths/branches/detail/no_trace.hpp>

#include <ATen/autocast_mode.h>
#include <c10/util/Exception.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace gatedpaths::detail {
namespace {

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

// An empty tensor's strides say little about its memory format; children keep
// that of their input as long as they keep its dims.
void take_format_of_input(OutputSpec& spec, const InputKind& input) {
  for (auto& tensor : spec.tensors) {
    const bool same_dims = tensor.sizes.size() == input.sizes.size() + 1;
    tensor.memory_format =
        same_dims ? input.memory_format : at::MemoryFormat::Contiguous;
  }
}

// `returned`: what is known for one batch size alone, if anything.
OutputSpec probe_empty(
    Probe probe,
    const InputKind& input,
    const std::optional<OutputSpec>& returned) {
  TORCH_CHECK(
      std::find(input.sizes.begin(), input.sizes.end(), 0) == input.sizes.end(),
      "the sizes of one sample have a zero too");
  OutputSpec spec = spec_of(probe(0));
  for (auto& tensor : spec.tensors) {
    for (SizeRule& size : tensor.sizes) {
      if (size.fixed == 0) {
        size.per_sample = 1;
      }
    }
  }
  TORCH_CHECK(
      !returned || spec.same_sizes(*returned, *returned->only_batch),
      "the sizes disagree with what it returned before");
  take_format_of_input(spec, input);
  return spec;
}

// With one sample, sizes of one cannot be told from the batch, so a second
// probe tells how each size grows.
OutputSpec probe_samples(Probe probe, const InputKind& input) {
  OutputSpec one = spec_of(probe(1));
  const OutputSpec two = spec_of(probe(2));
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
  OutputSpec spec = spec_of(probe(-1));
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
  const NoTrace no_trace(branch.module);
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
        probe,
        entry.input,
        entry.specs[static_cast<size_t>(branch.label.index)]);
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
  no_trace.check(branch.label);
  TORCH_CHECK(
      spec.has_value(),
      branch.label.gate_kind,
      "::forward: expected to know what shape ",
      branch.label.text(),
      " would return for an input of ",
      c10::IntArrayRef(entry.input.sizes),
      " a sample, but it is closed, has not run on such an input, and every "
      "probe failed (",
      fmt::format("{}", fmt::join(failures, "; ")),
      "); declare its output_shape, or run it open once, or use Skip::kNoGrad");
  return *std::move(spec);
}

}  // namespace

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
        branch.label.gate_kind,
        "::forward: expected ",
        branch.label.text(),
        " to return its declared output_shape ",
        declared.tensors.front().text(batch),
        ", got ",
        actual.text(batch));
  }
  if (branch.shape.dtype()) {
    TORCH_CHECK_VALUE(
        *branch.shape.dtype() == actual.dtype,
        branch.label.gate_kind,
        "::forward: expected ",
        branch.label.text(),
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
  auto& known = entry.specs[static_cast<size_t>(branch.label.index)];
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

}  // namespace gatedpaths::detail
