// SPDX-License-Identifier: MIT
// What a training step costs beside its forward and backward: to apply a path,
// clear the gradients and step SGD, with one of N branches open. By hand that
// is the optimizer's own zero_grad() and step(), which look at every parameter.
#include "support/program.hpp"

#include <gatedpaths/gatedpaths.hpp>

#include <ATen/Parallel.h>
#include <ATen/ops/ones_like.h>
#include <c10/util/Exception.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/sgd.h>
#include <torch/utils.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace {

namespace gp = gatedpaths;
using Block = gp::ChoiceBlock<torch::nn::Linear>;

constexpr std::size_t kPaths = 64;  // that are visited, of whatever many

Block make_block(std::int64_t branches) {
  torch::manual_seed(0);
  std::vector<gp::NamedBranch<torch::nn::Linear>> linears;
  for (std::int64_t i = 0; i < branches; ++i) {
    linears.push_back({std::to_string(i), torch::nn::Linear(8, 8)});
  }
  return Block(gp::ChoiceBlockOptions(), linears);
}

/// The block, its optimizer, and gradients as a backward would leave them.
class Steps {
 public:
  explicit Steps(std::int64_t branches)
      : block_(make_block(branches)),
        space_(block_),
        sgd_(
            block_->parameters(),
            torch::optim::SGDOptions(0.1).momentum(0.9).weight_decay(1e-4)) {
    for (std::size_t i = 0; i < kPaths; ++i) {
      const auto index = static_cast<std::int64_t>(i) * branches /
                         static_cast<std::int64_t>(kPaths);
      paths_.push_back(space_.at(static_cast<std::uint64_t>(index)));
      opened_.push_back(index);
      auto linear = block_->branch(index);
      parameters_.push_back({linear->weight, linear->bias});
      gradients_.push_back(
          {at::ones_like(linear->weight), at::ones_like(linear->bias)});
    }
  }
  Steps(const Steps&) = delete;
  Steps& operator=(const Steps&) = delete;
  virtual ~Steps() = default;

  void step() {
    apply(next_);
    clear();
    for (std::size_t i = 0; i < gradients_[next_].size(); ++i) {
      parameters_[next_][i].mutable_grad() = gradients_[next_][i];
    }
    update();
    next_ = (next_ + 1) % kPaths;
  }

  const Block& block() const { return block_; }

 protected:
  virtual void apply(std::size_t path) = 0;
  virtual void clear() = 0;
  virtual void update() = 0;

  Block block_;
  gp::PathSpace space_;
  torch::optim::SGD sgd_;
  std::vector<gp::Path> paths_;
  std::vector<std::int64_t> opened_;

 private:
  std::vector<std::vector<torch::Tensor>> parameters_;
  std::vector<std::vector<torch::Tensor>> gradients_;
  std::size_t next_ = 0;
};

class HandSteps : public Steps {
 public:
  using Steps::Steps;

 protected:
  void apply(std::size_t path) override { block_->select(opened_[path]); }
  void clear() override { sgd_.zero_grad(); }
  void update() override { sgd_.step(); }
};

class PathSteps : public Steps {
 public:
  explicit PathSteps(std::int64_t branches)
      : Steps(branches), steps_(block_.ptr(), space_, sgd_) {}

 protected:
  void apply(std::size_t path) override { steps_.apply(paths_[path]); }
  void clear() override { steps_.zero_grad(); }
  void update() override { steps_.step(); }

 private:
  gp::OpenOptimizer steps_;
};

/// Both have to move the same weights, to the same bits.
void check(std::int64_t branches) {
  HandSteps hand(branches);
  PathSteps library(branches);
  for (std::size_t i = 0; i < 2 * kPaths; ++i) {
    hand.step();
    library.step();
  }
  const auto expected = hand.block()->named_parameters();
  for (const auto& parameter : library.block()->named_parameters()) {
    TORCH_CHECK(
        parameter.value().equal(expected[parameter.key()]),
        "open_optimizer: expected '",
        parameter.key(),
        "' as the optimizer's own step leaves it");
    const bool open =
        hand.block()->open_branches().front() ==
        std::stoll(parameter.key().substr(0, parameter.key().find('.')));
    TORCH_CHECK(
        parameter.value().grad().defined() == open,
        "open_optimizer: expected a gradient for the open branch alone, '",
        parameter.key(),
        open ? "' has none" : "' has one");
  }
}

template <class S>
bench::Row make_row(const char* form, std::int64_t branches) {
  return {
      fmt::format("bookkeeping/{}/branches:{}", form, branches),
      [branches](benchmark::State& state) {
        at::set_num_threads(1);
        S steps(branches);
        for (std::size_t i = 0; i < 2 * kPaths; ++i) {
          steps.step();  // each path's momentum is there after that
        }
        for (auto _ : state) {
          steps.step();
        }
      },
      benchmark::kNanosecond};
}

std::vector<bench::Group> make_groups(const bench::Settings& settings) {
  const auto sizes = settings.quick
                         ? std::vector<std::int64_t>{64}
                         : std::vector<std::int64_t>{64, 256, 1024, 4096};
  bench::Group group;
  group.check = [sizes] {
    for (const auto branches : sizes) {
      check(branches);
    }
  };
  for (const auto branches : sizes) {
    group.rows.push_back(make_row<HandSteps>("hand", branches));
    group.rows.push_back(make_row<PathSteps>("open_optimizer", branches));
  }
  return {group};
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_program(argc, argv, make_groups);
}
