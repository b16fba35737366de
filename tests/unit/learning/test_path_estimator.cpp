// SPDX-License-Identifier: MIT
// What all estimators have in common.
#include <gatedpaths/learning/path_estimator.hpp>

#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>
#include <gatedpaths/gates/stream_seed.hpp>
#include <gatedpaths/training/open_optimizer.hpp>

#include <iomanip>
#include <limits>
#include <memory>
#include <sstream>
#include <string>

#include "support/catch.hpp"
#include "support/counting_child.hpp"
#include "support/errors.hpp"
#include "support/estimators.hpp"
#include "support/learned_net.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using gatedpaths::ChoiceBlock;
using gatedpaths::ChoiceBlockOptions;
using gatedpaths::ClosedValue;
using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::GatedBranch;
using gatedpaths::GumbelOptions;
using gatedpaths::Path;
using gatedpaths::PathEstimator;
using gatedpaths::PathLogits;
using gatedpaths::PathSpace;
using gatedpaths::Skip;
using gatedpaths::test::all_estimators;
using gatedpaths::test::bit_equal;
using gatedpaths::test::copies_of;
using gatedpaths::test::CountingChild;
using gatedpaths::test::LearnedNet;
using gatedpaths::test::make_estimator;
using gatedpaths::test::message_of;
using gatedpaths::test::uneven_logits;

namespace {

std::unique_ptr<PathEstimator> estimator_of(
    const std::string& name,
    const PathLogits& logits,
    const PathSpace& space,
    uint64_t seed = 3) {
  return make_estimator(
      name, logits, space, seed, GumbelOptions().temperature(2));
}

std::string any_estimator() { return GENERATE(all_estimators()); }

void architecture_step(
    PathEstimator& estimator,
    torch::optim::Optimizer& optimizer,
    LearnedNet& net) {
  estimator.apply();
  optimizer.zero_grad();
  estimator.objective(net.square_loss()).backward();
  optimizer.step();
  estimator.finish_step();
}

torch::optim::SGD logits_optimizer(const PathLogits& logits) {
  return torch::optim::SGD(
      logits->parameters(), torch::optim::SGDOptions(0.1).momentum(0.9));
}

std::string saved_text(const PathEstimator& estimator) {
  torch::serialize::OutputArchive archive;
  estimator.save(archive);
  archive.write("schedule", c10::IValue("cosine"));  // more may be there
  std::ostringstream stream;
  archive.save_to(stream);
  return stream.str();
}

void load_text(PathEstimator& estimator, const std::string& text) {
  std::istringstream stream(text);
  torch::serialize::InputArchive archive;
  archive.load_from(stream);
  estimator.load(archive);
}

}  // namespace

TEST_CASE(
    "PathEstimator: runs as many branches as it says",
    "[path_estimator][forward]") {
  const auto name = any_estimator();
  CAPTURE(name);
  torch::manual_seed(1);
  std::vector<CountingChild> children(4);
  ChoiceBlock block(children[0], children[1], children[2], children[3]);
  const PathSpace space(block);
  PathLogits logits(space);
  const auto estimator = estimator_of(name, logits, space);
  CHECK(estimator->name() == name);
  const auto x = torch::randn({2, 3, 5, 5});
  for (int step = 0; step < 5; ++step) {
    const Path path = estimator->apply();
    CHECK(space.current() == path);
    estimator->objective(block->forward(x).mean()).backward();
    int64_t calls = 0;
    int64_t with_graph = 0;
    for (auto& child : children) {
      calls += child->log.size();
      if (child->log.size() > 0 && child->log.last().grad_mode) {
        ++with_graph;
      }
      child->log.clear();
    }
    CHECK(calls == estimator->branches_run(0));
    CHECK(with_graph == (name == "MixtureEstimator" ? 4 : 1));
    CHECK(logits->logits(0).grad().defined());
    estimator->finish_step();
  }
  CHECK_THROWS_AS(estimator->branches_run(1), c10::IndexError);
  CHECK(estimator->state() == gatedpaths::DrawState{3, 5});
}

TEST_CASE(
    "PathEstimator: ending a step leaves that of another estimator alone",
    "[path_estimator][backward]") {
  const auto name = any_estimator();
  const bool destroyed = GENERATE(true, false);
  CAPTURE(name, destroyed);
  LearnedNet net;
  const PathSpace space(net);
  const auto logits = uneven_logits(space);
  const auto other_logits = uneven_logits(space);
  auto first = estimator_of(name, logits, space);
  const auto second = estimator_of("GumbelEstimator", other_logits, space, 4);
  first->apply();
  second->apply();
  const auto weighting = net.first->weighting();
  REQUIRE(weighting != nullptr);
  if (destroyed) {
    first.reset();
  } else {
    first->finish_step();
  }
  CHECK(net.first->weighting() == weighting);
  CHECK(net.second->weighting() != nullptr);
  second->objective(net.square_loss()).backward();
  CHECK(other_logits->logits(0).grad().defined());
  CHECK(other_logits->logits(1).grad().defined());
  CHECK_FALSE(logits->logits(0).grad().defined());
  second->finish_step();
  CHECK(net.first->weighting() == nullptr);
}

TEST_CASE(
    "PathEstimator: plain steps do not know the logits",
    "[path_estimator][backward]") {
  const auto name = any_estimator();
  CAPTURE(name);
  LearnedNet net;
  const PathSpace space(net);
  const auto logits = uneven_logits(space);
  const auto estimator = estimator_of(name, logits, space);
  const auto is_plain = [&] {
    logits->logits(0).mutable_grad().reset();
    net.square_loss().backward();
    return !logits->logits(0).grad().defined() &&
           net.first->weighting() == nullptr;
  };
  estimator->apply();
  estimator->finish_step();
  CHECK(is_plain());
  estimator->apply();
  const Path path = estimator->apply_plain();
  CHECK(space.current() == path);
  CHECK(path == logits->draw(gatedpaths::stream_seed(3, name), 2));
  CHECK(is_plain());
  {
    const auto another = estimator_of(name, logits, space);
    another->apply();
  }
  CHECK(is_plain());
}

TEST_CASE(
    "PathEstimator: in eval mode the applied path runs as it is",
    "[path_estimator][forward]") {
  const auto name = any_estimator();
  CAPTURE(name);
  LearnedNet net;
  const PathSpace space(net);
  const auto logits = uneven_logits(space);
  const auto estimator = estimator_of(name, logits, space);
  const Path path = estimator->apply();
  net.eval();
  const auto output = net.forward(net.input);
  CHECK_FALSE(gatedpaths::test::reaches(output, *logits));
  estimator->finish_step();
  space.apply(path);
  net.train();
  CHECK(bit_equal(net.forward(net.input), output));
}

TEST_CASE(
    "PathEstimator: draws depend on seed and step alone",
    "[path_estimator][random]") {
  const auto name = any_estimator();
  CAPTURE(name);
  LearnedNet net;
  const PathSpace space(net);
  const auto logits = uneven_logits(space);
  const auto a = estimator_of(name, logits, space);
  std::vector<Path> paths;
  const auto stream = gatedpaths::test::random_stream();
  for (int step = 0; step < 8; ++step) {
    paths.push_back(a->apply());
  }
  CHECK(bit_equal(gatedpaths::test::random_stream(), stream));
  const auto b = estimator_of(name, logits, space);
  b->set_state({3, 5});
  CHECK(b->apply() == paths[5]);
  CHECK(b->apply() == paths[6]);
}

TEST_CASE(
    "PathEstimator: a resumed run goes on exactly",
    "[path_estimator][serialize]") {
  const auto name = any_estimator();
  CAPTURE(name);
  LearnedNet net;
  const PathSpace space(net);
  const auto logits = uneven_logits(space);
  auto optimizer = logits_optimizer(logits);
  const auto estimator = estimator_of(name, logits, space);
  for (int step = 0; step < 3; ++step) {
    architecture_step(*estimator, optimizer, net);
  }
  const std::string saved = saved_text(*estimator);
  std::ostringstream optimizer_state;
  torch::save(optimizer, optimizer_state);
  for (int step = 0; step < 3; ++step) {
    architecture_step(*estimator, optimizer, net);
  }

  PathLogits again(space);
  again->to(torch::kDouble);
  auto other_optimizer = logits_optimizer(again);
  const auto other = estimator_of(name, again, space, /*seed=*/99);
  load_text(*other, saved);
  std::istringstream other_state(optimizer_state.str());
  torch::load(other_optimizer, other_state);
  for (int step = 0; step < 3; ++step) {
    architecture_step(*other, other_optimizer, net);
  }
  CHECK(other->state() == estimator->state());
  for (int64_t gate = 0; gate < 2; ++gate) {
    CHECK(bit_equal(again->logits(gate), logits->logits(gate)));
  }
  CHECK(saved_text(*other) == saved_text(*estimator));
}

TEST_CASE(
    "PathEstimator: OpenOptimizer steps what ran",
    "[path_estimator][backward]") {
  const auto name = any_estimator();
  CAPTURE(name);
  const auto net = std::make_shared<LearnedNet>();
  const PathSpace space(net);
  const auto logits = uneven_logits(space);
  const auto estimator = estimator_of(name, logits, space);
  torch::optim::SGD sgd(
      net->parameters(), torch::optim::SGDOptions(0.1).momentum(0.9));
  gatedpaths::OpenOptimizer steps(net, space, sgd);
  for (int step = 0; step < 4; ++step) {
    steps.apply(estimator->apply());
    net->square_loss().backward();
    steps.remember();
    const auto before = copies_of(net->parameters());
    std::vector<bool> has_gradient;
    for (const auto& parameter : net->parameters()) {
      has_gradient.push_back(parameter.grad().defined());
    }
    steps.step();
    steps.zero_grad();
    estimator->finish_step();
    for (size_t i = 0; i < before.size(); ++i) {
      CHECK(bit_equal(net->parameters()[i], before[i]) != has_gradient[i]);
      CHECK_FALSE(net->parameters()[i].grad().defined());
    }
  }
}

TEST_CASE(
    "PathEstimator: a NaN loss does not reach the logits",
    "[path_estimator][error]") {
  const auto name = any_estimator();
  CAPTURE(name);
  LearnedNet net;
  const PathSpace space(net);
  const auto logits = uneven_logits(space);
  const auto before = copies_of(logits->parameters());
  const auto estimator = estimator_of(name, logits, space);
  estimator->apply();
  net.target.fill_(std::numeric_limits<double>::quiet_NaN());
  CHECK_THROWS_AS(
      estimator->objective(net.square_loss()).backward(), c10::Error);
  for (const auto& parameter : logits->parameters()) {
    CHECK_FALSE(parameter.grad().defined());
  }
  estimator->finish_step();
  // The next step is as if nothing had been.
  net.target.zero_();
  estimator->apply();
  estimator->objective(net.square_loss()).backward();
  CHECK(logits->logits(0).grad().isfinite().all().item<bool>());
  estimator->finish_step();
  CHECK(gatedpaths::test::all_bit_equal(logits->parameters(), before));
}

TEST_CASE(
    "PathEstimator: gates without an output of closed branches are refused",
    "[path_estimator][error]") {
  const auto name =
      GENERATE("GumbelEstimator", "TwoPathEstimator", "MixtureEstimator");
  CAPTURE(name);
  using torch::nn::Linear;
  const auto message = [&](auto net) {
    return message_of<c10::ValueError>([&] {
      const PathSpace space(net);
      PathLogits logits(space);
      estimator_of(name, logits, space);
    });
  };
  const std::string start = std::string(name) +
                            ": expected ChoiceBlocks with 1 open branch, got "
                            "gate '0', a ";
  const std::string end =
      ": its closed branches have no output to take a gradient from; choose "
      "ReinforceEstimator, or a ChoiceBlock with a branch that stands for "
      "closed (as torch::nn::Identity)";
  CHECK(
      message(torch::nn::Sequential(GatedBranch(Linear(2, 2)))) ==
      start + "GatedBranch with 0 to 1 of 1 branches open, skip=kZeroFill" +
          end);
  CHECK(
      message(torch::nn::Sequential(ConcatGate(
          ConcatGateOptions(1).skip(Skip::kNoGrad).min_open(1).max_open(1),
          Linear(2, 2),
          Linear(2, 2)))) ==
      start + "ConcatGate with 1 to 1 of 2 branches open, skip=kNoGrad" + end);
  CHECK(
      message(torch::nn::Sequential(ChoiceBlock(
          ChoiceBlockOptions().min_open(0).max_open(2),
          Linear(2, 2),
          Linear(2, 2)))) ==
      start + "ChoiceBlock with 0 to 2 of 2 branches open, skip=kZeroFill" +
          end);
  CHECK(
      message(torch::nn::Sequential(ChoiceBlock(
          ChoiceBlockOptions()
              .skip(Skip::kNoGrad)
              .closed_value(ClosedValue::kDetached),
          Linear(2, 2),
          Linear(2, 2)))) ==
      std::string(name) +
          ": expected closed_value=kZeros, got kDetached for gate '0', where "
          "the closed branches' outputs are part of the sum; choose "
          "ReinforceEstimator, or closed_value=kZeros");
}

TEST_CASE(
    "PathEstimator: errors say what is wrong", "[path_estimator][error]") {
  const auto name = any_estimator();
  CAPTURE(name);
  LearnedNet net;
  const PathSpace space(net);
  ChoiceBlock other_net(torch::nn::Linear(2, 2), torch::nn::Linear(2, 2));
  const PathSpace other_space(other_net);
  PathLogits logits(space);
  const PathLogits other_logits(other_space);
  const auto hash = [](const PathSpace& of) {
    std::ostringstream stream;
    stream << std::hex << std::setw(16) << std::setfill('0') << of.hash();
    return stream.str();
  };
  CHECK(message_of<c10::ValueError>([&] {
          estimator_of(name, PathLogits(nullptr), space);
        }) == name + ": expected logits, got an empty holder");
  CHECK(
      message_of<c10::ValueError>([&] {
        estimator_of(name, other_logits, space);
      }) == name + ": expected logits of the space with the hash " +
                hash(space) + ", got logits of " + hash(other_space));

  const auto estimator = estimator_of(name, logits, space);
  estimator->apply();
  CHECK(message_of<c10::ValueError>([&] {
          estimator->objective(torch::zeros({3}));
        }) == name + "::objective: expected a loss of one element, got 3");
  CHECK(message_of<c10::ValueError>([&] {
          estimator->objective({});
        }) == name + "::objective: expected a loss of one element, got none");
  estimator->finish_step();

  const auto of_other = estimator_of(name, other_logits, other_space);
  CHECK(
      message_of<c10::ValueError>([&] {
        load_text(*estimator, saved_text(*of_other));
      }) == name + "::load: expected the state for the space with the hash " +
                hash(space) + ", got one for " + hash(other_space));
  const std::string unlike =
      name == "MixtureEstimator" ? "ReinforceEstimator" : "MixtureEstimator";
  CHECK(
      message_of<c10::ValueError>([&] {
        load_text(*estimator, saved_text(*estimator_of(unlike, logits, space)));
      }) == name + "::load: expected the state of a " + name +
                ", got that of a " + unlike);
  CHECK(
      message_of<c10::ValueError>([&] {
        std::ostringstream empty;
        torch::serialize::OutputArchive().save_to(empty);
        load_text(*estimator, empty.str());
      }) ==
      name + "::load: expected an archive with 'estimator', got one without");
  CHECK(estimator->state() == gatedpaths::DrawState{3, 1});

  const torch::NoGradGuard no_grad;
  logits->logits(0).select(0, 2).fill_(std::numeric_limits<float>::quiet_NaN());
  CHECK(
      message_of<c10::Error>([&] { estimator->apply(); }) ==
      "PathLogits: expected finite logits, got nan for branch 2 ('2') of gate "
      "'first'");
}
