// SPDX-License-Identifier: MIT
#include <gatedpaths/exchange/checkpoint.hpp>
#include <gatedpaths/exchange/dense_state.hpp>
#include <gatedpaths/exchange/derive.hpp>
#include <gatedpaths/training/open_optimizer.hpp>

#include <torch/optim/sgd.h>
#include <torch/serialize.h>
#include <torch/utils.h>

#include <cstdint>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/path_net.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using gatedpaths::derive;
using gatedpaths::DerivedWeights;
using gatedpaths::DeriveOptions;
using gatedpaths::narrow;
using gatedpaths::Path;
using gatedpaths::PathSpace;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::bit_equal;
using gatedpaths::test::copies_of;
using gatedpaths::test::elements_of;
using gatedpaths::test::message_of;
using gatedpaths::test::path_elements;
using gatedpaths::test::PathNet;

namespace {

torch::Tensor images() { return torch::randn({4, 3, 6, 6}); }

// Every gate has given its slots to the layer behind it once.
PathNet net_that_ran() {
  PathNet net;
  net->forward(images());
  net->zero_grad();
  return net;
}

std::vector<torch::Tensor> tensors_of(const torch::nn::Module& net) {
  auto tensors = net.parameters();
  for (const auto& buffer : net.buffers()) {
    tensors.push_back(buffer);
  }
  return tensors;
}

std::vector<Path> some_paths(const PathSpace& space, uint64_t step) {
  std::vector<Path> paths;
  for (uint64_t i = 0; i < space.size(); i += step) {
    paths.push_back(space.at(i));
  }
  return paths;
}

torch::serialize::InputArchive archive_of_net(const PathNet& net) {
  std::stringstream stream;
  torch::save(net, stream);
  torch::serialize::InputArchive archive;
  archive.load_from(stream);
  return archive;
}

}  // namespace

TEST_CASE(
    "derive: every path gives the supernet's output and has its parameters "
    "alone",
    "[derive][forward]") {
  auto net = net_that_ran();
  const PathSpace space(net);
  const auto input = images();
  const auto paths = some_paths(space, 29);
  REQUIRE(paths.size() > 50);
  net->eval();
  for (const auto& path : paths) {
    CAPTURE(space.to_string(path));
    auto derived = derive(net, path);
    space.apply(path);
    CHECK(bit_equal(derived->forward(input), net->forward(input)));
    CHECK(elements_of(*derived) == path_elements(*net, space, path));
    CHECK(PathSpace(derived).size() == 1);
    CHECK_FALSE(derived->is_training());
  }
}

TEST_CASE(
    "derive: trains as the supernet's path does, from the same streams",
    "[derive][backward][random]") {
  auto net = net_that_ran();
  const PathSpace space(net);
  const auto input = images();
  for (const auto& path : some_paths(space, 211)) {
    CAPTURE(space.to_string(path));
    auto derived = derive(net, path);
    space.apply(path);
    torch::manual_seed(5);
    const auto expected = net->forward(input);
    torch::manual_seed(5);
    const auto output = derived->forward(input);
    CHECK(bit_equal(output, expected));

    net->zero_grad();
    (expected * expected).sum().backward();
    (output * output).sum().backward();
    std::vector<torch::Tensor> gradients;
    for (const auto& parameter : net->parameters()) {
      if (parameter.grad().defined()) {
        gradients.push_back(parameter.grad());
      }
    }
    std::vector<torch::Tensor> derived_gradients;
    for (const auto& parameter : derived->parameters()) {
      if (parameter.grad().defined()) {
        derived_gradients.push_back(parameter.grad());
      }
    }
    CHECK(all_bit_equal(derived_gradients, gradients));
    CHECK_FALSE(derived->parameters().empty());
  }
}

TEST_CASE(
    "derive: closed slots' shapes are known for inputs of any size",
    "[derive][forward]") {
  auto net = net_that_ran();
  const PathSpace space(net);
  const auto path = space.parse("stem=conv3;wide=b;residual=;dense=d;tail=1");
  auto derived = derive(net, path);
  space.apply(path);
  net->eval();
  derived->eval();
  for (const int64_t batch : {1, 4, 7}) {
    const auto input = torch::randn({batch, 3, 6, 6});
    CHECK(bit_equal(derived->forward(input), net->forward(input)));
  }
}

TEST_CASE("derive: the network is as it was", "[derive]") {
  auto net = net_that_ran();
  const PathSpace space(net);
  const auto before = copies_of(tensors_of(*net));
  const auto current = space.current();
  const auto stream = gatedpaths::test::random_stream();
  const auto derived = derive(net, space.at(17));
  CHECK(bit_equal(gatedpaths::test::random_stream(), stream));
  CHECK(all_bit_equal(tensors_of(*net), before));
  CHECK(space.current() == current);
  const torch::NoGradGuard no_grad;
  for (auto& parameter : derived->parameters()) {
    parameter.zero_();
  }
  CHECK(all_bit_equal(tensors_of(*net), before));
}

TEST_CASE(
    "derive: modes, requires_grad and dtypes are kept, part by part",
    "[derive]") {
  auto net = net_that_ran();
  net->to(torch::kDouble);
  net->norm->eval();
  net->conv->weights[1].set_requires_grad(false);
  const PathSpace space(net);
  const auto path =
      space.parse("stem=norm;wide=b+c;residual=branch;dense=d+e;tail=0");
  auto derived = derive(net, path);
  CHECK(derived->is_training());
  CHECK_FALSE(derived->norm->is_training());
  CHECK_FALSE(derived->norm->norms[0]->is_training());
  CHECK_FALSE(derived->conv->weights[0].requires_grad());
  CHECK(derived->conv->weights[1].requires_grad());
  CHECK(derived->conv->parameters()[0].is_same(derived->conv->weights[0]));
  CHECK(derived->fc->weights[0].scalar_type() == torch::kDouble);
  space.apply(path);
  net->eval();
  derived->eval();
  const auto input = images().to(torch::kDouble);
  CHECK(bit_equal(derived->forward(input), net->forward(input)));
}

TEST_CASE(
    "derive: the layers on slots are dense layers of the open slots",
    "[derive]") {
  auto net = net_that_ran();
  const PathSpace space(net);
  auto derived = derive(
      net, space.parse("stem=norm;wide=a+c;residual=branch;dense=d;tail=1"));
  CHECK(derived->conv->options.slot_channels() == std::vector<int64_t>{2, 1});
  auto dense = derived->conv->to_dense();
  CHECK(dense->options.in_channels() == 3);
  CHECK(bit_equal(
      dense->weight,
      torch::cat({net->conv->weights[0], net->conv->weights[2]}, 1)));
  CHECK(derived->fc->to_dense()->options.in_features() == 3);
  const auto names = gatedpaths::slots_to_dense(derived).keys();
  CHECK(std::count(names.begin(), names.end(), "fc.weight") == 1);
}

TEST_CASE("derive: nothing of a closed branch is kept in memory", "[derive]") {
  auto net = net_that_ran();
  const PathSpace space(net);
  auto derived =
      derive(net, space.parse("stem=conv3;wide=b;residual=;dense=d;tail=1"));
  const auto child = derived->residual->child();
  CHECK(child->weight.numel() == 4 * 4 * 9);
  CHECK(child->weight.storage().nbytes() == sizeof(float));
  const auto again = std::dynamic_pointer_cast<gatedpaths::test::PathNetImpl>(
      derived->clone());
  CHECK(again->residual->child()->weight.storage().nbytes() == sizeof(float));
  derived->to(torch::kDouble);
  CHECK(child->weight.storage().nbytes() == sizeof(double));
  CHECK(child->weight.scalar_type() == torch::kDouble);
  derived->eval();
  again->eval();
  const auto input = images();
  CHECK(
      gatedpaths::test::largest_difference(
          derived->forward(input.to(torch::kDouble)).to(torch::kFloat),
          again->forward(input)) < 1e-5);
}

TEST_CASE(
    "derive: a checkpoint loads into a net derived for the same path",
    "[derive][serialize]") {
  auto net = net_that_ran();
  auto other = net_that_ran();
  const PathSpace space(net);
  const auto path = space.at(123);
  auto derived = derive(net, path);
  auto from_other = derive(other, path);
  auto archive = archive_of_net(derived);
  gatedpaths::load_checked(from_other, archive);
  derived->eval();
  from_other->eval();
  const auto input = images();
  CHECK(bit_equal(from_other->forward(input), derived->forward(input)));

  auto unlike = derive(other, space.at(0));
  auto again = archive_of_net(derived);
  CHECK_THROWS_AS(gatedpaths::load_checked(unlike, again), c10::ValueError);
}

TEST_CASE("derive: a derived net can be derived again", "[derive]") {
  auto net = net_that_ran();
  const PathSpace space(net);
  auto derived = derive(net, space.at(40));
  auto again = derive(derived, PathSpace(derived).current());
  CHECK(elements_of(*again) == elements_of(*derived));
  derived->eval();
  again->eval();
  const auto input = images();
  CHECK(bit_equal(again->forward(input), derived->forward(input)));
}

TEST_CASE("derive: OpenOptimizer and SGD step a derived net", "[derive]") {
  auto net = net_that_ran();
  const PathSpace space(net);
  for (const char* text :
       {"stem=conv3;wide=b;residual=;dense=d;tail=1",
        "stem=conv3+norm;wide=;residual=branch;dense=d+e;tail="}) {
    auto derived = derive(net, space.parse(text));
    torch::optim::SGD sgd(derived->parameters(), 0.1);
    gatedpaths::OpenOptimizer optimizer(derived, PathSpace(derived), sgd);
    const auto before = copies_of(derived->fc->parameters());
    optimizer.zero_grad();
    derived->forward(images()).sum().backward();
    optimizer.step();
    CHECK_FALSE(all_bit_equal(derived->fc->parameters(), before));
  }
}

TEST_CASE("derive: fresh weights are those of a new net", "[derive]") {
  auto net = net_that_ran();
  const PathSpace space(net);
  const auto path =
      space.parse("stem=norm;wide=a+b+c;residual=branch;dense=d+e;tail=0+1");
  const auto options = DeriveOptions().weights(DerivedWeights::kReset);
  torch::manual_seed(3);
  auto derived = derive(net, path, options);
  CHECK_FALSE(bit_equal(derived->mix->weight, net->mix->weight));
  torch::manual_seed(3);
  auto again = derive(net, space, path, options);
  CHECK(all_bit_equal(tensors_of(*again), tensors_of(*derived)));
  for (const auto& item : derived->named_buffers()) {
    CAPTURE(item.key());
    if (item.key().ends_with("running_var")) {
      CHECK(bit_equal(item.value(), torch::ones_like(item.value())));
    } else {
      CHECK(item.value().count_nonzero().item<int64_t>() == 0);
    }
  }
}

TEST_CASE("derive: bad calls change nothing", "[derive][error]") {
  using Catch::Matchers::StartsWith;
  PathNet net;
  const PathSpace space(net);
  const auto before = copies_of(tensors_of(*net));

  SECTION("a path of another space") {
    const PathSpace other(net->stem);
    const auto message =
        message_of<c10::ValueError>([&] { return derive(net, other.at(0)); });
    CHECK_THAT(
        message,
        StartsWith("derive: expected a path of the network's space 0x"));
    CHECK(message.find("got one of space 0x") != std::string::npos);
    CHECK_THROWS_AS(narrow(net, other.at(0)), c10::ValueError);
  }
  SECTION("a space of another network") {
    PathNet like;
    const PathSpace other(like);
    CHECK(
        message_of<c10::ValueError>(
            [&] { return derive(net, other, other.at(0)); }) ==
        "derive: expected a space of this network, got one whose gate 'stem' "
        "is not in it");
  }
  SECTION("it is not known whose slots a layer takes") {
    CHECK(
        message_of<c10::ValueError>([&] { return derive(net, space.at(0)); }) ==
        "derive: expected to know whose slots 'fc' takes, got a layer of 2 "
        "slots that has taken none of this network yet, and 2 gates of as many "
        "branches ('dense', 'tail'); run the network once, on any path");
    CHECK_THROWS_AS(narrow(net, space.at(0)), c10::ValueError);
  }
  SECTION("an empty holder") {
    CHECK_THROWS_AS(derive(PathNet(nullptr), space.at(0)), c10::ValueError);
  }
  CHECK(all_bit_equal(tensors_of(*net), before));
  CHECK(PathSpace(net) == space);
}
