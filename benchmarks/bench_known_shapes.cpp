// SPDX-License-Identifier: MIT
// What zeros in place of a closed LSTM cost where each forward has another
// sequence length, or another number: the library, zeros of a shape that is
// written down, and the LSTM itself.
#include "support/program.hpp"

#include <gatedpaths/gatedpaths.hpp>

#include <ATen/Parallel.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>
#include <torch/nn/modules/rnn.h>

#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace {

namespace gp = gatedpaths;

constexpr std::int64_t kBatch = 8;
constexpr std::int64_t kInputs = 16;
constexpr std::int64_t kHidden = 32;
constexpr std::int64_t kShortest = 8;

/// An LSTM, batch first, that is told which step it is and counts its calls.
struct CountedLstmImpl : torch::nn::Module {
  torch::Tensor forward(const torch::Tensor& x, std::int64_t /*step*/) {
    ++calls;
    return std::get<0>(lstm->forward(x));
  }

  torch::nn::LSTM lstm = register_module(
      "lstm",
      torch::nn::LSTM(
          torch::nn::LSTMOptions(kInputs, kHidden).batch_first(true)));
  std::int64_t calls = 0;
};
TORCH_MODULE(CountedLstm);

/// Sequences of so many lengths in turn; the number rises, or stays.
struct Setting {
  std::int64_t lengths;
  bool rises;
};

class Work {
 public:
  explicit Work(Setting setting) : setting_(setting), branch_(lstm_) {
    at::set_num_threads(1);
    branch_->set_open(false);
    const auto longest =
        at::ones({kBatch, kShortest + setting.lengths, kInputs});
    for (std::int64_t i = 0; i < setting.lengths; ++i) {
      inputs_.push_back(longest.narrow(1, 0, kShortest + i).contiguous());
    }
  }

  torch::Tensor library() { return branch_->forward(input(), number()); }
  torch::Tensor open() { return lstm_->forward(input(), number()); }
  torch::Tensor hand() {
    return at::zeros({kBatch, input().size(1), kHidden}, input().options());
  }

  torch::Tensor step(torch::Tensor (Work::*form)()) {
    auto output = (this->*form)();
    ++step_;
    return output;
  }

  /// Enough that all is known which is ever to be known.
  std::int64_t warm_up_steps() const {
    return setting_.lengths + (setting_.rises ? 100 : 0);
  }
  std::int64_t calls() const { return lstm_->calls; }

 private:
  const torch::Tensor& input() const {
    return inputs_[static_cast<std::size_t>(step_ % setting_.lengths)];
  }
  std::int64_t number() const { return setting_.rises ? step_ : 0; }

  Setting setting_;
  CountedLstm lstm_;
  gp::GatedBranch<CountedLstm> branch_;
  std::vector<torch::Tensor> inputs_;
  std::int64_t step_ = 0;
};

/// The library's zeros are the hand's, and cost no call once all is known; but
/// a rising number is looked at again after as many values as were seen.
void check(Setting setting) {
  Work library(setting);
  Work hand(setting);
  Work open(setting);
  const auto steps = library.warm_up_steps();
  std::int64_t calls = 0;
  for (std::int64_t i = 0; i < 2 * steps; ++i) {
    if (i == steps) {
      calls = library.calls();
    }
    const auto zeros = library.step(&Work::library);
    TORCH_CHECK(
        zeros.equal(hand.step(&Work::hand)),
        "known_shapes: expected zeros of the shape that is written down, got ",
        zeros.sizes());
    TORCH_CHECK(
        i >= 3 || zeros.sizes() == open.step(&Work::open).sizes(),
        "known_shapes: expected the LSTM's own shape, got ",
        zeros.sizes());
  }
  TORCH_CHECK(
      library.calls() - calls <= (setting.rises ? 2 : 0),
      "known_shapes: expected the closed LSTM to be called no more, got ",
      library.calls() - calls,
      " calls in ",
      steps,
      " forwards");
}

struct Form {
  std::string_view name;
  torch::Tensor (Work::*run)();
};

std::vector<bench::Group> make_groups(const bench::Settings& /*settings*/) {
  const std::vector<Form> forms = {
      {"hand", &Work::hand},
      {"library", &Work::library},
      {"open", &Work::open}};
  const std::vector<Setting> all = {{1, false}, {65, false}, {1, true}};
  std::vector<bench::Group> groups;
  for (const auto setting : all) {
    bench::Group group;
    group.check = [setting] { check(setting); };
    for (const auto& form : forms) {
      group.rows.push_back(
          {fmt::format(
               "known_shapes/{}/lengths:{}/number:{}",
               form.name,
               setting.lengths,
               setting.rises ? "rises" : "same"),
           [setting, run = form.run](benchmark::State& state) {
             Work work(setting);
             const bool knows = run == &Work::library;
             for (std::int64_t i = knows ? work.warm_up_steps() : 1; i > 0;
                  --i) {
               work.step(run);
             }
             for (auto _ : state) {
               benchmark::DoNotOptimize(work.step(run));
             }
           }});
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_program(argc, argv, make_groups);
}
