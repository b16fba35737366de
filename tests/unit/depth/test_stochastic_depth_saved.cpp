// SPDX-License-Identifier: MIT
// What saving keeps of stochastic depth.
#include <gatedpaths/depth/stochastic_depth.hpp>

#include <gatedpaths/exchange/checkpoint.hpp>

#include <torch/nn/modules/container/sequential.h>
#include <torch/serialize.h>

#include <cmath>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/snapshot.hpp"
#include "support/stochastic_depth.hpp"
#include "support/tensors.hpp"

using gatedpaths::DrawState;
using gatedpaths::DropMode;
using gatedpaths::DropScale;
using gatedpaths::load_checked;
using gatedpaths::StochasticDepth;
using gatedpaths::StochasticDepthOptions;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::any_drop_mode;
using gatedpaths::test::any_drop_scale;
using gatedpaths::test::depth_options;
using gatedpaths::test::kDepthRate;
using gatedpaths::test::largest_difference;
using gatedpaths::test::message_of;
using torch::nn::Linear;

TEST_CASE(
    "StochasticDepth: the convention is saved and restored",
    "[stochastic_depth][serialize]") {
  const auto mode = any_drop_mode();
  const auto scale = any_drop_scale();
  const bool checked = GENERATE(true, false);
  const bool inside = GENERATE(true, false);
  CAPTURE(mode, scale, checked, inside);
  const auto in_net = [&](const StochasticDepth<Linear>& depth) {
    return inside ? torch::nn::Sequential(depth).ptr()
                  : std::shared_ptr<torch::nn::Module>(depth.ptr());
  };
  StochasticDepth from(Linear(3, 3), depth_options(mode, scale, 0.3));
  from->set_drop_rate(0.7);
  from->to(torch::kHalf);
  from->to(torch::kCPU, torch::kFloat);
  std::stringstream file;
  {
    torch::serialize::OutputArchive archive;
    in_net(from)->save(archive);
    archive.save_to(file);
  }
  StochasticDepth to(Linear(3, 3), StochasticDepthOptions(0.1).seed(5));
  torch::serialize::InputArchive archive;
  archive.load_from(file);
  const auto net = in_net(to);
  if (checked) {
    load_checked(*net, archive);
  } else {
    net->load(archive);
  }
  CHECK(to->drop_rate() == 0.7);
  CHECK(to->mode() == mode);
  CHECK(to->scale() == scale);
  CHECK(all_bit_equal(to->parameters(), from->parameters()));
  CHECK(to->draw_state() == DrawState{5, 0});  // as gates, no part of it
  to->set_drop_rate(0.2);
  CHECK(to->drop_rate() == 0.2);
  CHECK(from->drop_rate() == 0.7);

  to->eval();
  const auto x = torch::randn({4, 3});
  const double keep = scale == DropScale::kEval ? 0.8 : 1;
  CHECK(
      largest_difference(to->forward(x), x + keep * to->child()->forward(x)) <
      1e-6);
  CHECK(
      from->named_buffers().keys() ==
      std::vector<std::string>{"drop.convention"});
}

TEST_CASE(
    "StochasticDepth: what is no convention is not loaded",
    "[stochastic_depth][serialize][error]") {
  StochasticDepth depth(
      Linear(3, 3), depth_options(DropMode::kBatch, DropScale::kEval));
  const auto load = [&](const torch::Tensor& convention) {
    StochasticDepth from(Linear(3, 3), 0.1);
    from->named_buffers()["drop.convention"].set_data(convention);
    std::stringstream file;
    torch::save(from, file);
    torch::load(depth, file);
  };
  const std::string values =
      "StochasticDepth: expected a saved convention of a mode from 0 to 2, a "
      "scale from 0 to 3 and a drop_rate in [0, 1], got ";
  const auto of = [](double mode, double scale, double rate) {
    return torch::tensor({mode, scale, rate}, torch::kDouble);
  };
  const std::vector<std::pair<torch::Tensor, std::string>> cases = {
      {of(3, 1, 0.5), values + "[3, 1, 0.5]"},
      {of(-1, 1, 0.5), values + "[-1, 1, 0.5]"},
      {of(0.5, 1, 0.5), values + "[0.5, 1, 0.5]"},
      {of(1, 4, 0.5), values + "[1, 4, 0.5]"},
      {of(1, std::nan(""), 0.5), values + "[1, nan, 0.5]"},
      {of(1, 1, 1.5), values + "[1, 1, 1.5]"},
      {torch::zeros({2}, torch::kDouble),
       "StochasticDepth: expected a saved convention of [3] Double, got [2] "
       "Double"},
      {torch::zeros({3}),
       "StochasticDepth: expected a saved convention of [3] Double, got [3] "
       "Float"}};
  for (const auto& [convention, message] : cases) {
    const auto load_it = [&load, &saved = convention] { load(saved); };
    CHECK(message_of<c10::ValueError>(load_it) == message);
    CHECK(depth->drop_rate() == kDepthRate);
    CHECK(depth->mode() == DropMode::kBatch);
    CHECK(depth->scale() == DropScale::kEval);
  }
  // Written past the module, it is found before the next use.
  depth->named_buffers()["drop.convention"].copy_(of(7, 1, 0.5));
  const auto x = torch::randn({2, 3});
  CHECK(message_of<c10::ValueError>([&] {
          depth->forward(x);
        }) == values + "[7, 1, 0.5]");
}
