// SPDX-License-Identifier: MIT
// A training step of a 3x3 convolution that runs on a part of the batch only:
// the library's gates for each sample, the same by hand, and the whole batch.
#include "support/program.hpp"

#include <gatedpaths/gatedpaths.hpp>

#include <ATen/Parallel.h>
#include <ATen/ops/index_copy.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/randperm.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/util/Exception.h>
#include <torch/nn/modules/conv.h>
#include <torch/optim/sgd.h>
#include <torch/utils.h>

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

namespace gp = gatedpaths;

constexpr std::int64_t kBatch = 64;
constexpr std::int64_t kImage = 16;
constexpr std::size_t kMasks = 37;

/// One convolution, its optimizer, one batch, and masks of the same number of
/// open samples.
class Work {
 public:
  Work(std::int64_t channels, std::int64_t percent)
      : conv_(torch::nn::Conv2dOptions(channels, channels, 3).padding(1)),
        branch_(conv_),
        optimizer_(
            conv_->parameters(),
            torch::optim::SGDOptions(0.001).momentum(0.9).weight_decay(5e-4)) {
    at::set_num_threads(1);
    torch::manual_seed(0);
    input_ = at::randn({kBatch, channels, kImage, kImage}).requires_grad_();
    gradient_ = at::randn_like(input_);
    for (std::size_t i = 0; i < kMasks; ++i) {
      const auto rows = at::randperm(kBatch, torch::kInt64)
                            .narrow(0, 0, kBatch * percent / 100);
      rows_.push_back(std::get<0>(rows.sort()));
      masks_.push_back(
          at::zeros({kBatch}, torch::kBool).index_fill_(0, rows_.back(), true));
    }
  }

  torch::Tensor plain() { return conv_->forward(input_); }
  torch::Tensor open() { return branch_->forward(input_); }
  torch::Tensor library() { return branch_->forward(input_, masks_[next_]); }

  torch::Tensor hand() {
    const auto& rows = rows_[next_];
    const auto output = conv_->forward(input_.index_select(0, rows));
    return at::zeros_like(input_).index_copy(0, rows, output);
  }

  torch::Tensor hand_mask() {
    return conv_->forward(input_) * masks_[next_].view({-1, 1, 1, 1});
  }

  /// Clear, forward, backward, update.
  void step(const std::function<torch::Tensor(Work&)>& form) {
    input_.mutable_grad().reset();
    optimizer_.zero_grad();
    form(*this).backward(gradient_);
    optimizer_.step();
    next_ = (next_ + 1) % kMasks;
  }

  std::vector<torch::Tensor> results(
      const std::function<torch::Tensor(Work&)>& form) {
    input_.mutable_grad().reset();
    optimizer_.zero_grad();
    const auto output = form(*this);
    output.backward(gradient_);
    return {
        output.detach(),
        input_.grad(),
        conv_->weight.grad().clone(),
        conv_->bias.grad().clone()};
  }

 private:
  torch::nn::Conv2d conv_;
  gp::GatedBranch<torch::nn::Conv2d> branch_;
  torch::optim::SGD optimizer_;
  torch::Tensor input_;
  torch::Tensor gradient_;
  std::vector<torch::Tensor> rows_;
  std::vector<torch::Tensor> masks_;
  std::size_t next_ = 0;
};

struct Form {
  std::string_view name;
  std::function<torch::Tensor(Work&)> run;
};

void check(std::int64_t channels, std::int64_t percent, const Form& form) {
  Work work(channels, percent);
  const auto expected = work.results(&Work::hand_mask);
  const auto found = work.results(form.run);
  for (std::size_t i = 0; i < found.size(); ++i) {
    const auto scale = expected[i].abs().max().item<double>();
    const auto error = (found[i] - expected[i]).abs().max().item<double>();
    TORCH_CHECK(
        error <= 1e-4 * scale,
        form.name,
        ": expected what the mask gives, got a difference of ",
        error,
        " where the largest value is ",
        scale);
  }
}

std::string row_name(
    std::string_view form, std::int64_t percent, std::int64_t channels) {
  return fmt::format(
      "per_sample/{}/keep:{}/channels:{}/batch:{}",
      form,
      percent,
      channels,
      kBatch);
}

void add_row(
    bench::Group& group,
    const Form& form,
    std::int64_t percent,
    std::int64_t channels) {
  group.check = [=, before = std::move(group.check)] {
    if (before) {
      before();
    }
    check(channels, percent, form);
  };
  group.rows.push_back(
      {row_name(form.name, percent, channels), [=](benchmark::State& state) {
         Work work(channels, percent);
         work.step(form.run);
         for (auto _ : state) {
           work.step(form.run);
         }
       }});
}

std::vector<bench::Group> make_groups(const bench::Settings& settings) {
  std::vector<bench::Group> groups;
  for (const std::int64_t channels : {32, 128}) {
    bench::Group group;
    add_row(group, {"plain", &Work::plain}, 100, channels);
    add_row(group, {"open", &Work::open}, 100, channels);
    add_row(group, {"library", &Work::library}, 100, channels);
    for (const std::int64_t percent : {25, 50, 75}) {
      add_row(group, {"library", &Work::library}, percent, channels);
      add_row(group, {"hand", &Work::hand}, percent, channels);
    }
    groups.push_back(std::move(group));
    if (settings.quick) {
      break;
    }
  }
  return groups;
}

}  // namespace

int main(int argc, char** argv) {
  bench::keep_freed_memory();
  return bench::run_program(
      argc, argv, make_groups, {.repetitions = 45, .seconds = 0.05});
}
