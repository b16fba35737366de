// SPDX-License-Identifier: MIT
// A training step of a block of N convolutions whose choice is learned, for
// each estimator, beside the branches called directly; and its peak memory.
#include "support/memory_peak.hpp"
#include "support/program.hpp"

#include <gatedpaths/gatedpaths.hpp>

#include <ATen/Parallel.h>
#include <ATen/ops/randn.h>
#include <c10/util/Exception.h>
#include <torch/nn/modules/conv.h>
#include <torch/optim/sgd.h>
#include <torch/utils.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

namespace gp = gatedpaths;
using Conv = torch::nn::Conv2d;
using Block = gp::ChoiceBlock<Conv>;

constexpr std::int64_t kChannels = 32;
constexpr std::int64_t kImage = 16;
constexpr std::int64_t kBatch = 32;

Block make_block(std::int64_t branches) {
  torch::manual_seed(0);
  std::vector<gp::NamedBranch<Conv>> convs;
  for (std::int64_t i = 0; i < branches; ++i) {
    convs.push_back(
        {std::to_string(i),
         Conv(torch::nn::Conv2dOptions(kChannels, kChannels, 3).padding(1))});
  }
  return Block(gp::ChoiceBlockOptions(), convs);
}

torch::optim::SGDOptions sgd_options() {
  return torch::optim::SGDOptions(0.001).momentum(0.9).weight_decay(5e-4);
}

/// A block and one batch.
class Work {
 public:
  explicit Work(std::int64_t branches) : block_(make_block(branches)) {
    at::set_num_threads(1);
    torch::manual_seed(1);
    input_ = at::randn({kBatch, kChannels, kImage, kImage}).requires_grad_();
    gradient_ = at::randn_like(input_);
  }
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;
  virtual ~Work() = default;

  /// Clear, draw, forward, backward, update.
  virtual void step() = 0;

 protected:
  Block& block() { return block_; }
  torch::Tensor& input() { return input_; }
  const torch::Tensor& gradient() const { return gradient_; }

 private:
  Block block_;
  torch::Tensor input_;
  torch::Tensor gradient_;
};

/// The first branches, called directly, with an optimizer of their own.
class Direct : public Work {
 public:
  Direct(std::int64_t branches, std::int64_t called) : Work(branches) {
    std::vector<torch::Tensor> parameters;
    for (std::int64_t i = 0; i < called; ++i) {
      called_.push_back(block()->branch(i));
      const auto own = called_.back()->parameters();
      parameters.insert(parameters.end(), own.begin(), own.end());
    }
    optimizer_ = std::make_unique<torch::optim::SGD>(parameters, sgd_options());
  }

  void step() override {
    input().mutable_grad().reset();
    optimizer_->zero_grad();
    auto output = called_.front()->forward(input());
    for (std::size_t i = 1; i < called_.size(); ++i) {
      output = output + called_[i]->forward(input());
    }
    output.backward(gradient());
    optimizer_->step();
  }

 private:
  std::vector<Conv> called_;
  std::unique_ptr<torch::optim::SGD> optimizer_;
};

/// The block with an estimator: both the weights and the logits are updated.
class Learned : public Work {
 public:
  using Make = std::function<std::unique_ptr<gp::PathEstimator>(
      const gp::PathLogits&, const gp::PathSpace&)>;

  Learned(std::int64_t branches, const Make& make)
      : Work(branches),
        space_(block()),
        logits_(space_),
        weights_sgd_(block()->parameters(), sgd_options()),
        weights_(block().ptr(), space_, weights_sgd_),
        // So small that all branches stay equally likely.
        logits_sgd_(logits_->parameters(), torch::optim::SGDOptions(1e-9)),
        estimator_(make(logits_, space_)) {}

  void step() override {
    weights_.remember();
    estimator_->apply();
    input().mutable_grad().reset();
    weights_.zero_grad();
    logits_sgd_.zero_grad();
    const auto output = block()->forward(input());
    output.backward(gradient());
    if (estimator_->name() == "ReinforceEstimator") {
      const auto loss = output.detach().mul(gradient()).mean();
      estimator_->objective(loss).backward();
    }
    weights_.step();
    logits_sgd_.step();
    estimator_->finish_step();
  }

  /// Throws unless a step gives the logits a gradient, and each branch the
  /// gradient that its part in the output asks for.
  void check(std::string_view row) {
    step();
    const auto gradient = logits_->logits(0).grad();
    TORCH_CHECK(
        gradient.defined() && gradient.isfinite().all().item<bool>() &&
            gradient.ne(0).any().item<bool>(),
        row,
        ": expected a gradient of the logits, got ",
        gradient);
    std::int64_t with_gradient = 0;
    for (std::int64_t i = 0; i < block()->num_branches(); ++i) {
      with_gradient += block()->branch(i)->weight.grad().defined() ? 1 : 0;
    }
    const auto expected =
        estimator_->name() == "MixtureEstimator" ? block()->num_branches() : 1;
    TORCH_CHECK(
        with_gradient == expected,
        row,
        ": expected ",
        expected,
        " branches with a gradient, got ",
        with_gradient);
  }

 private:
  gp::PathSpace space_;
  gp::PathLogits logits_;
  torch::optim::SGD weights_sgd_;
  gp::OpenOptimizer weights_;
  torch::optim::SGD logits_sgd_;
  std::unique_ptr<gp::PathEstimator> estimator_;
};

using MakeWork = std::function<std::unique_ptr<Work>()>;

void measure(benchmark::State& state, const MakeWork& make) {
  const auto work = make();
  for (int i = 0; i < 8; ++i) {
    work->step();  // makes momentum of whatever is open
  }
  // The most of several steps, since what is open differs.
  std::int64_t peak = 0;
  for (int i = 0; i < 8; ++i) {
    peak = std::max(peak, bench::peak_bytes([&] { work->step(); }));
  }
  state.counters["peak_bytes"] = static_cast<double>(peak);
  for (auto _ : state) {
    work->step();
  }
}

bench::Row make_row(
    std::string_view form, std::int64_t branches, const MakeWork& make) {
  return {
      fmt::format("learned/{}/branches:{}", form, branches),
      [make](benchmark::State& state) { measure(state, make); }};
}

struct NamedEstimator {
  std::string_view name;
  Learned::Make make;
};

template <class Estimator>
Learned::Make estimator() {
  return [](const gp::PathLogits& logits, const gp::PathSpace& space) {
    return std::make_unique<Estimator>(logits, space, /*seed=*/3);
  };
}

std::vector<bench::Group> make_groups(const bench::Settings& settings) {
  const std::vector<NamedEstimator> estimators = {
      {"gumbel", estimator<gp::GumbelEstimator>()},
      {"two_path", estimator<gp::TwoPathEstimator>()},
      {"reinforce", estimator<gp::ReinforceEstimator>()},
      {"mixture", estimator<gp::MixtureEstimator>()}};
  std::vector<bench::Group> groups;
  for (const std::int64_t branches : {8, 32}) {
    bench::Group group;
    for (const std::int64_t called : {1, 2}) {
      group.rows.push_back(
          make_row(called == 1 ? "direct_one" : "direct_two", branches, [=] {
            return std::make_unique<Direct>(branches, called);
          }));
    }
    for (const auto& [name, make] : estimators) {
      group.rows.push_back(make_row(name, branches, [=, make = make] {
        return std::make_unique<Learned>(branches, make);
      }));
    }
    group.check = [=] {
      for (const auto& [name, make] : estimators) {
        Learned(branches, make).check(name);
      }
    };
    groups.push_back(std::move(group));
    if (settings.quick) {
      break;
    }
  }
  return groups;
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_program(argc, argv, make_groups);
}
