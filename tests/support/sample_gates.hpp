// SPDX-License-Identifier: MIT
// Gates for each sample beside what they stand for: every branch on the whole
// batch, and zeros where its gate is closed.
#pragma once

#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>

#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

namespace gatedpaths::test {

enum class SampleKind { kBranch, kChoice, kSum, kMean, kConcat, kSlots };

inline std::ostream& operator<<(std::ostream& stream, SampleKind kind) {
  constexpr const char* kNames[] = {
      "GatedBranch",
      "ChoiceBlock, one",
      "ChoiceBlock, sum",
      "ChoiceBlock, mean",
      "ConcatGate::forward",
      "ConcatGate::forward_slots"};
  return stream << kNames[static_cast<size_t>(kind)];
}

inline std::vector<SampleKind> sample_kinds() {
  return {
      SampleKind::kBranch,
      SampleKind::kChoice,
      SampleKind::kSum,
      SampleKind::kMean,
      SampleKind::kConcat,
      SampleKind::kSlots};
}

/// A bool mask from a row of digits a sample: `{"10", "01"}`; `[batch]` where
/// there is one digit and `flat`.
inline torch::Tensor mask_of(
    const std::vector<std::string>& rows, bool flat = false) {
  const auto batch = static_cast<int64_t>(rows.size());
  const auto branches = static_cast<int64_t>(rows.empty() ? 1 : rows[0].size());
  auto mask = torch::zeros({batch, branches}, torch::kBool);
  for (int64_t n = 0; n < batch; ++n) {
    for (int64_t b = 0; b < branches; ++b) {
      mask[n][b] = rows[static_cast<size_t>(n)][static_cast<size_t>(b)] == '1';
    }
  }
  return flat ? mask.flatten() : mask;
}

/// `output` where `open`, a mask `[batch]`, and zeros elsewhere.
inline torch::Tensor masked(
    const torch::Tensor& output, const torch::Tensor& open) {
  std::vector<int64_t> sizes(static_cast<size_t>(output.dim()), 1);
  sizes.front() = -1;
  return torch::where(open.view(sizes), output, torch::zeros_like(output));
}

/// A gate of some kind around small networks, `[N, 4]` -> `[N, 3]` each, in
/// double.
class SampleNet {
 public:
  static constexpr int64_t kBatch = 6;

  explicit SampleNet(SampleKind kind) : kind_(kind) {
    torch::manual_seed(21);
    for (int64_t i = 0; i < (kind == SampleKind::kBranch ? 1 : 3); ++i) {
      branches.push_back(
          torch::nn::Sequential(torch::nn::Linear(4, 3), torch::nn::Tanh()));
      branches.back()->to(torch::kDouble);
    }
    std::vector<NamedBranch<>> named;
    for (size_t i = 0; i < branches.size(); ++i) {
      named.emplace_back(std::to_string(i), branches[i]);
    }
    switch (kind) {
      case SampleKind::kBranch:
        branch_ = GatedBranch<torch::nn::Sequential>(branches.front());
        module = branch_.ptr();
        break;
      case SampleKind::kConcat:
      case SampleKind::kSlots:
        concat_ = ConcatGate<>(ConcatGateOptions(1), named);
        module = concat_.ptr();
        break;
      default:
        choice_ = ChoiceBlock<>(choice_options(), named);
        module = choice_.ptr();
    }
  }

  torch::Tensor input() const {
    torch::manual_seed(22);
    return torch::randn({kBatch, 4}, torch::kDouble);
  }

  /// Masks that the kind allows: none and all open, single rows, mixed ones.
  std::vector<torch::Tensor> masks() const {
    using Rows = std::vector<std::string>;
    std::vector<Rows> rows;
    switch (kind_) {
      case SampleKind::kBranch:
        rows = {
            {"0", "0", "0", "0", "0", "0"},
            {"1", "1", "1", "1", "1", "1"},
            {"0", "0", "0", "1", "0", "0"},
            {"1", "0", "1", "1", "0", "1"},
            {"0", "1", "1", "1", "1", "1"}};
        break;
      case SampleKind::kChoice:
        rows = {
            {"100", "100", "100", "100", "100", "100"},
            {"001", "001", "001", "001", "001", "001"},
            {"010", "010", "100", "010", "010", "010"},
            {"001", "100", "010", "010", "001", "100"}};
        break;
      default:
        rows = {
            {"000", "000", "000", "000", "000", "000"},
            {"111", "111", "111", "111", "111", "111"},
            {"101", "101", "101", "101", "101", "101"},
            {"000", "000", "010", "000", "000", "000"},
            {"110", "011", "010", "111", "010", "010"},
            {"100", "010", "000", "001", "010", "000"},
            {"110", "101", "011", "110", "101", "011"}};
    }
    std::vector<torch::Tensor> masks;
    for (const auto& mask : rows) {
      masks.push_back(mask_of(mask, kind_ == SampleKind::kBranch));
    }
    return masks;
  }

  torch::Tensor forward(
      const torch::Tensor& input, const torch::Tensor& open = {}) {
    switch (kind_) {
      case SampleKind::kBranch:
        return branch_->forward(input, open);
      case SampleKind::kConcat:
        return concat_->forward(input, open);
      case SampleKind::kSlots:
        return concat_->forward_slots(input, open).dense();
      default:
        return choice_->forward(input, open);
    }
  }

  /// The same by masks on the whole batch.
  torch::Tensor reference(
      const torch::Tensor& input, const torch::Tensor& open) {
    const auto gates = open.view({input.size(0), -1});
    std::vector<torch::Tensor> outputs;
    for (size_t i = 0; i < branches.size(); ++i) {
      outputs.push_back(masked(
          branches[i]->forward(input),
          gates.select(1, static_cast<int64_t>(i))));
    }
    if (kind_ == SampleKind::kConcat || kind_ == SampleKind::kSlots) {
      return torch::cat(outputs, 1);
    }
    const auto sum = torch::stack(outputs).sum(0);
    return kind_ == SampleKind::kMean
               ? sum / gates.sum(1, /*keepdim=*/true).clamp_min(1)
               : sum;
  }

  GatedModule& gate() const { return dynamic_cast<GatedModule&>(*module); }

  std::vector<torch::nn::Sequential> branches;
  std::shared_ptr<torch::nn::Module> module;

 private:
  ChoiceBlockOptions choice_options() const {
    ChoiceBlockOptions options;
    if (kind_ != SampleKind::kChoice) {
      options.min_open(0).max_open(3);
    }
    return options.reduction(
        kind_ == SampleKind::kMean ? Reduction::kMean : Reduction::kSum);
  }

  SampleKind kind_;
  GatedBranch<torch::nn::Sequential> branch_ = nullptr;
  ChoiceBlock<> choice_ = nullptr;
  ConcatGate<> concat_ = nullptr;
};

}  // namespace gatedpaths::test
