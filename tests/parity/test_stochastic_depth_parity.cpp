// SPDX-License-Identifier: MIT
// Stochastic depth by row against its formula in PyTorch, for the rows that
// were drawn.
#include <gatedpaths/depth/stochastic_depth.hpp>

#include <cstdint>
#include <set>
#include <string>

#include "parity/reference.hpp"
#include "support/catch.hpp"
#include "support/tensors.hpp"

using gatedpaths::DropMode;
using gatedpaths::StochasticDepth;
using gatedpaths::StochasticDepthOptions;
using gatedpaths::test::check_gradients;
using gatedpaths::test::kParity;
using gatedpaths::test::largest_difference;
using gatedpaths::test::load_reference;
using gatedpaths::test::reference;

TEST_CASE(
    "StochasticDepth: by row gives what PyTorch's formula gives", "[parity]") {
  constexpr int64_t kRows = 4;
  torch::nn::Conv2d branch(torch::nn::Conv2dOptions(3, 3, 3).padding(1));
  load_reference(*branch, "depth/weights/");
  StochasticDepth block(
      branch, StochasticDepthOptions(0.25).mode(DropMode::kRow).seed(1));
  std::set<int64_t> drawn;
  for (int step = 0; step < 20; ++step) {
    const auto x =
        reference().at("images").narrow(0, 0, kRows).clone().requires_grad_();
    branch->zero_grad();
    const auto output = block->forward(x);
    int64_t kept = 0;  // a bit a row
    for (int64_t row = 0; row < kRows; ++row) {
      kept |= output[row].equal(x[row]) ? 0 : int64_t{1} << row;
    }
    CAPTURE(kept);
    drawn.insert(kept);
    const auto prefix = "depth/" + std::to_string(kept);
    CHECK(
        largest_difference(output, reference().at(prefix + "/output")) <=
        kParity);
    output.square().mean().backward();
    CHECK(
        largest_difference(x.grad(), reference().at(prefix + "/input")) <=
        kParity);
    check_gradients(*branch, prefix + "/gradient/");
  }
  CHECK(drawn.size() > 4);
}
