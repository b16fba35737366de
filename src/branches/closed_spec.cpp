// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/closed_spec.hpp>

#include "../text/error_text.hpp"

#include <gatedpaths/branches/detail/no_trace.hpp>

#include <ATen/autocast_mode.h>
#include <c10/util/Exception.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
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

// Without samples first: that costs next to nothing. Then few, but enough that
// neither squares nor pairs of samples, nor a size of one, are taken for the
// batch; batch norm takes them in training, too.
constexpr std::array<int64_t, 4> kProbeSizes = {0, 4, 6, 3};

constexpr auto kProbed = OutputSpec::Source::kProbed;

// Tells how the output follows the batch, where batches of some sizes do.
class Prober {
 public:
  Prober(
      const ClosedBranch& branch, KnownOutput& known, int64_t batch, Probe run)
      : branch_(branch), known_(known), batch_(batch), run_(run) {}

  bool knows() const { return known_.find(batch_) != nullptr; }

  /// Looks at one batch where the input's numbers tell what to expect.
  void check_expected() {
    const bool only_here = batch_ == 1 && branch_.expected_here != nullptr;
    if (branch_.expected != nullptr && !only_here) {
      const int64_t few = kProbeSizes[1];
      if (const auto output = attempt(few)) {
        if (output->same_kind(*branch_.expected) &&
            output->same_sizes(*branch_.expected, few)) {
          known_.set_rule(*branch_.expected);
        } else {
          known_.add(*output, few);
        }
      }
    } else if (branch_.expected_here != nullptr) {
      run_whole("the whole batch");
    }
    failures_.clear();  // they will be tried again
  }

  void run_few() {
    if (batch_ < 0) {
      return;
    }
    for (const int64_t samples : kProbeSizes) {
      if (knows() || known_.rule() != nullptr || known_.is_irregular()) {
        return;
      }
      if (known_.find(samples) != nullptr) {
        continue;
      }
      if (auto output = attempt(samples)) {
        known_.add(*std::move(output), samples);
      }
    }
    known_.was_probed = true;
  }

  void run_whole(const char* what) {
    if (!knows()) {
      if (auto output = attempt(-1, what)) {
        known_.add(*std::move(output), batch_);
      }
    }
  }

  std::string failures() const {
    return fmt::format("{}", fmt::join(failures_, "; "));
  }

 private:
  std::optional<OutputSpec> attempt(
      int64_t samples, const char* what = nullptr) {
    try {
      return spec_of(run_(samples), kProbed);
    } catch (const std::exception& error) {
      // Of all that was tried, as much as says why.
      if (samples == 0) {
        what = "an empty batch";
      } else if (samples == kProbeSizes[1]) {
        what = "4 samples";
      }
      if (what != nullptr) {
        auto text = fmt::format("with {}: {}", what, first_line(error));
        if (std::ranges::find(failures_, text) == failures_.end()) {
          failures_.push_back(std::move(text));
        }
      }
      return std::nullopt;
    }
  }

  const ClosedBranch& branch_;
  KnownOutput& known_;
  int64_t batch_;
  Probe run_;
  std::vector<std::string> failures_;
};

std::optional<at::ScalarType> first_floating_dtype(
    const torch::nn::Module& module) {
  for (const auto& parameter : module.parameters()) {
    if (parameter.defined() && parameter.is_floating_point()) {
      return parameter.scalar_type();
    }
  }
  return std::nullopt;
}

// A layer that keeps the dims keeps the memory format of its input, but a
// convolution gives that of its weights, too.
at::MemoryFormat usual_format(
    const ClosedBranch& branch, const InputKind& input, size_t dims) {
  const auto contiguous = at::MemoryFormat::Contiguous;
  if (dims != input.sizes.size() + 1) {
    return contiguous;
  }
  if (input.memory_format != contiguous) {
    return input.memory_format;
  }
  for (const auto& parameter : branch.module.parameters()) {
    if (parameter.defined() && static_cast<size_t>(parameter.dim()) == dims &&
        parameter.suggest_memory_format() != contiguous) {
      return parameter.suggest_memory_format();
    }
  }
  return contiguous;
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
  tensor.memory_format = usual_format(branch, input, tensor.sizes.size());
  spec.tensors.push_back(std::move(tensor));
  return spec;
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

void probe_output(
    const ClosedBranch& branch,
    const InputKind& input,
    KnownOutput& known,
    int64_t batch,
    Probe probe) {
  const AutocastScope autocast(input);
  const NoTrace no_trace(branch.module);
  Prober prober(branch, known, batch, probe);
  prober.check_expected();
  no_trace.check(branch.label);
  if (prober.knows()) {
    return;
  }
  if (!known.was_probed) {
    prober.run_few();
  }
  prober.run_whole("the whole batch");
  if (!prober.knows() && branch.module.is_training()) {
    const EvalScope eval(branch.module);
    prober.run_few();
    prober.run_whole("the whole batch in eval mode");
  }
  no_trace.check(branch.label);
  if (!prober.knows()) {
    known.settle_for_rule();
  }
  TORCH_CHECK(
      prober.knows(),
      branch.label.gate_kind,
      "::forward: expected to know what shape ",
      branch.label.text(),
      " would return for an input of ",
      c10::IntArrayRef(input.sizes),
      " a sample, but it is closed, has not run on such an input, and every "
      "probe failed (",
      prober.failures(),
      "); declare its output_shape, or run it open once, or use Skip::kNoGrad");
}

const OutputSpec& closed_spec(
    const ClosedBranch& branch,
    OutputEntry& entry,
    int64_t batch,
    Probe probe) {
  if (branch.shape.is_like_open_sibling() && branch.open_sibling != nullptr) {
    return *branch.open_sibling;
  }
  KnownOutput& known = entry.at(branch.label.index, branch.state);
  if (const OutputSpec* spec = known.find(batch)) {
    return *spec;
  }
  if (branch.shape.has_sizes()) {
    known.set_rule(declared_spec(branch, entry.input));
  } else {
    probe_output(branch, entry.input, known, batch, probe);
  }
  return *known.find(batch);
}

}  // namespace gatedpaths::detail
