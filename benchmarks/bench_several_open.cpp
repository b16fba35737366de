// SPDX-License-Identifier: MIT
// A layer on slots with several of its 8 slots open, forward and backward: one
// joined product (the open values and the open weights concatenated first), a
// sum of products, and the library's layer, which has to be the better of both.
#include "support/program.hpp"

#include <gatedpaths/gatedpaths.hpp>

#include <ATen/Parallel.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>
#include <torch/utils.h>

#include <fmt/format.h>

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

constexpr std::int64_t kSlots = 8;

struct Setting {
  std::string_view layer;  // "linear" or "conv2d"
  std::int64_t open = 2;
  std::int64_t batch = 4;

  bool linear() const { return layer == "linear"; }
  std::int64_t size() const { return linear() ? 400 : 16; }
};

std::string row_name(std::string_view form, const Setting& setting) {
  return fmt::format(
      "several_open/{}_{}/open:{}/batch:{}",
      setting.layer,
      form,
      setting.open,
      setting.batch);
}

/// Returns a tensor that it has. An Identity would not do: its output, being
/// the input, is copied.
struct ReturnsImpl : torch::nn::Module {
  explicit ReturnsImpl(torch::Tensor output) : value(std::move(output)) {}

  torch::Tensor forward(const torch::Tensor& /*x*/) { return value; }

  torch::Tensor value;
};
TORCH_MODULE(Returns);

/// The same value in each slot, as N like paths would give it.
gp::ConcatGate<> make_gate(const Setting& setting, const torch::Tensor& value) {
  std::vector<gp::NamedBranch<>> branches;
  std::vector<std::int64_t> open;
  for (std::int64_t i = 0; i < kSlots; ++i) {
    branches.push_back({std::to_string(i), Returns(value)});
    if (i < setting.open) {
      open.push_back(i);
    }
  }
  gp::ConcatGate<> gate(gp::ConcatGateOptions(/*dim=*/1), branches);
  gate->set_open(open);
  return gate;
}

/// One layer, the values of its slots, and a step in each form.
class Work {
 public:
  explicit Work(const Setting& setting) : setting_(setting) {
    at::set_num_threads(1);
    torch::manual_seed(0);
    const std::vector<std::int64_t> sizes(kSlots, setting.size());
    if (setting.linear()) {
      linear_ = gp::SlotLinear(gp::SlotLinearOptions(sizes, 120));
      input_ = at::randn({setting.batch, setting.size()});
    } else {
      conv_ = gp::SlotConv2d(gp::SlotConvOptions<2>(
          sizes,
          torch::nn::Conv2dOptions(kSlots * setting.size(), 32, 3).padding(1)));
      input_ = at::randn({setting.batch, setting.size(), 16, 16});
    }
    input_.requires_grad_();
    gate_ = make_gate(setting, input_);
    source_ = at::zeros({setting.batch, 1});
  }

  torch::Tensor joined() const {
    const std::vector<torch::Tensor> values(open(), input_);
    const std::vector<torch::Tensor> weights(
        all_weights().begin(),
        all_weights().begin() + static_cast<std::ptrdiff_t>(open()));
    return apply(at::cat(values, 1), at::cat(weights, 1), bias());
  }

  torch::Tensor sum() const {
    torch::Tensor output = apply(input_, all_weights().front(), bias());
    for (std::size_t i = 1; i < open(); ++i) {
      const auto& weight = all_weights()[i];
      output = setting_.linear() ? at::addmm(output, input_, weight.t())
                                 : output + apply(input_, weight, {});
    }
    return output;
  }

  torch::Tensor library() {
    const auto slots = gate_->forward_slots(source_);
    return setting_.linear() ? linear_->forward(slots) : conv_->forward(slots);
  }

  /// Forward and backward; the gradients are undefined before.
  void step(const std::function<torch::Tensor(Work&)>& form) {
    clear();
    const auto output = form(*this);
    output.backward(at::ones_like(output));
  }

  std::vector<torch::Tensor> gradients() const {
    std::vector<torch::Tensor> found = {input_.grad(), bias().grad()};
    for (std::size_t i = 0; i < open(); ++i) {
      found.push_back(all_weights()[i].grad());
    }
    return found;
  }

 private:
  std::size_t open() const { return static_cast<std::size_t>(setting_.open); }
  const std::vector<torch::Tensor>& all_weights() const {
    return setting_.linear() ? linear_->weights : conv_->weights;
  }
  const torch::Tensor& bias() const {
    return setting_.linear() ? linear_->bias : conv_->bias;
  }

  torch::Tensor apply(
      const torch::Tensor& input,
      const torch::Tensor& weight,
      const torch::Tensor& with_bias) const {
    return setting_.linear()
               ? at::linear(input, weight, with_bias)
               : at::conv2d(input, weight, with_bias, 1, at::IntArrayRef(1));
  }

  void clear() {
    input_.mutable_grad().reset();
    bias().mutable_grad().reset();
    for (const auto& weight : all_weights()) {
      weight.mutable_grad().reset();
    }
  }

  Setting setting_;
  gp::ConcatGate<> gate_ = nullptr;
  gp::SlotLinear linear_ = nullptr;
  gp::SlotConv2d conv_ = nullptr;
  torch::Tensor input_;
  torch::Tensor source_;  // what the branches do not look at
};

struct NamedForm {
  std::string_view name;
  std::function<torch::Tensor(Work&)> run;
};

const std::vector<NamedForm>& forms() {
  static const std::vector<NamedForm> all = {
      {"hand_joined", [](Work& work) { return work.joined(); }},
      {"hand_sum", [](Work& work) { return work.sum(); }},
      {"library", [](Work& work) { return work.library(); }}};
  return all;
}

void check(const Setting& setting) {
  Work work(setting);
  const auto expected = work.joined();
  work.step(forms().front().run);
  const auto gradients = work.gradients();
  for (const auto& form : forms()) {
    const auto near = [&](const torch::Tensor& a, const torch::Tensor& b) {
      TORCH_CHECK(
          a.allclose(b, /*rtol=*/1e-4, /*atol=*/1e-4),
          row_name(form.name, setting),
          ": expected what the joined product gives, got a difference of ",
          (a - b).abs().max().item<double>());
    };
    near(form.run(work), expected);
    work.step(form.run);
    const auto found = work.gradients();
    for (std::size_t i = 0; i < found.size(); ++i) {
      near(found[i], gradients[i]);
    }
  }
}

bench::Group make_group(const Setting& setting) {
  bench::Group group;
  group.check = [setting] { check(setting); };
  for (const auto& form : forms()) {
    group.rows.push_back(
        {row_name(form.name, setting),
         [setting, run = form.run](benchmark::State& state) {
           Work work(setting);
           work.step(run);
           for (auto _ : state) {
             work.step(run);
           }
         }});
  }
  return group;
}

std::vector<bench::Group> make_groups(const bench::Settings& settings) {
  std::vector<bench::Group> groups;
  for (const std::string_view layer : {"linear", "conv2d"}) {
    if (settings.quick) {
      groups.push_back(make_group({layer, 2, 4}));
      continue;
    }
    for (const std::int64_t batch : {4, 16, 64}) {
      for (const std::int64_t open : {2, 4, 8}) {
        groups.push_back(make_group({layer, open, batch}));
      }
    }
  }
  return groups;
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_program(argc, argv, make_groups);
}
