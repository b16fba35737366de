// SPDX-License-Identifier: MIT
// One gate around any module, whatever it takes and returns: an LSTM that is
// left out in some training steps, drawn by the branch itself, and never in
// eval.
//
// Run: examples/run 03_gated_branch
#include <gatedpaths/gatedpaths.hpp>

#include <torch/nn/modules/rnn.h>

#include <fmt/format.h>

#include <tuple>

int main() {
  torch::manual_seed(0);
  //! [lstm]
  namespace gp = gatedpaths;
  gp::GatedBranch branch(
      torch::nn::LSTM(torch::nn::LSTMOptions(8, 16).batch_first(true)),
      gp::GatedBranchOptions().skip(gp::Skip::kZeroFill));
  branch->draw_each_forward(/*seed=*/2);

  const auto x = torch::randn({4, 10, 8});
  for (int step = 0; step < 4; ++step) {
    const auto [output, state] = branch->forward(x);  // [4, 10, 16], (h, c)
    fmt::print(
        "training, {}: {} of {} elements are not zero\n",
        branch->is_open() ? "open" : "closed",
        output.ne(0).sum().item<int64_t>(),
        output.numel());
  }
  //! [lstm]
  branch->eval();
  const auto output = std::get<0>(branch->forward(x));
  fmt::print(
      "eval, {}: {} of {} elements are not zero\n",
      branch->is_open() ? "open" : "closed",
      output.ne(0).sum().item<int64_t>(),
      output.numel());
}
