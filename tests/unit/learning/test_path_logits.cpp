// SPDX-License-Identifier: MIT
#include <gatedpaths/learning/path_logits.hpp>

#include <gatedpaths/exchange/checkpoint.hpp>
#include <gatedpaths/gates/choice_block.hpp>

#include <cmath>
#include <limits>
#include <sstream>
#include <string>

#include "support/catch.hpp"
#include "support/chi_square.hpp"
#include "support/errors.hpp"
#include "support/fake_gate.hpp"
#include "support/finite_difference.hpp"
#include "support/tensors.hpp"

using gatedpaths::GateLayout;
using gatedpaths::Path;
using gatedpaths::PathLogits;
using gatedpaths::PathSpace;
using gatedpaths::SpaceLayout;
using gatedpaths::test::bit_equal;
using gatedpaths::test::deviations;
using gatedpaths::test::gradient_error;
using gatedpaths::test::largest_difference;
using gatedpaths::test::message_of;

namespace {

std::shared_ptr<const SpaceLayout> logits_layout(
    std::vector<GateLayout> gates) {
  return std::make_shared<const SpaceLayout>(std::move(gates));
}

/// A choice of three; a choice of two inside its branch b; a free gate.
std::shared_ptr<const SpaceLayout> nested_logits_layout() {
  return logits_layout(
      {{"outer", {"a", "b", "c"}, 1, 1, {}},
       {"outer.b.inner", {"x", "y"}, 1, 1, {{0, 1}}},
       {"free", {"u", "v"}, 0, 2, {}}});
}

PathLogits random_logits(const std::shared_ptr<const SpaceLayout>& layout) {
  torch::manual_seed(4);
  PathLogits logits(layout);
  logits->to(torch::kDouble);
  const torch::NoGradGuard no_grad;
  for (auto& parameter : logits->parameters()) {
    parameter.normal_();
  }
  return logits;
}

double probability(const PathLogits& logits, const std::string& path) {
  const torch::NoGradGuard no_grad;
  return std::exp(
      logits->log_probability(logits->layout().parse(path)).item<double>());
}

std::vector<Path> all_paths(const PathLogits& logits) {
  std::vector<Path> paths;
  for (uint64_t i = 0; i < logits->layout().size(); ++i) {
    paths.push_back(logits->layout().at(i));
  }
  return paths;
}

}  // namespace

TEST_CASE("PathLogits: has one parameter a gate, zeros", "[path_logits]") {
  const auto root = gatedpaths::test::holder();
  const auto blocks = root->add("blocks", gatedpaths::test::holder());
  blocks->add("0", gatedpaths::test::fake_gate({"a", "b", "c"}));
  root->add("a/b%", gatedpaths::test::fake_gate({"x", "y"}, 0, 2));
  PathLogits logits{PathSpace(root)};

  const auto parameters = logits->named_parameters();
  REQUIRE(parameters.size() == 2);
  CHECK(parameters[0].key() == "blocks/0");
  CHECK(parameters[1].key() == "a%2Fb%25");
  CHECK(bit_equal(parameters[0].value().detach(), torch::zeros({3})));
  CHECK(parameters[1].value().requires_grad());
  CHECK(logits->logits("blocks.0").is_same(parameters[0].value()));
  CHECK(logits->one_of(0));
  CHECK_FALSE(logits->one_of(1));
  CHECK(bit_equal(
      logits->probabilities("a/b%").detach(), torch::full({2}, 0.5F)));

  PathLogits root_logits{PathSpace(gatedpaths::test::fake_gate({"a", "b"}))};
  CHECK(root_logits->named_parameters()[0].key() == "/");
}

TEST_CASE("PathLogits: the parameters are not the network's", "[path_logits]") {
  torch::nn::Sequential net(gatedpaths::ChoiceBlock(
      torch::nn::Linear(2, 2), torch::nn::Linear(2, 2)));
  const PathSpace space(net);
  const size_t before = net->parameters().size();
  PathLogits logits(space);
  CHECK(net->parameters().size() == before);
  for (const auto& parameter : net->parameters()) {
    CHECK_FALSE(parameter.is_same(logits->logits(0)));
  }
  CHECK(logits->parameters().size() == 1);
}

TEST_CASE(
    "PathLogits: the probabilities of all paths add up to one",
    "[path_logits]") {
  auto logits = random_logits(nested_logits_layout());
  double sum = 0;
  for (const Path& path : all_paths(logits)) {
    const torch::NoGradGuard no_grad;
    sum += std::exp(logits->log_probability(path).item<double>());
  }
  CHECK(std::abs(sum - 1) < 1e-12);

  const auto outer = logits->logits("outer").softmax(0);
  const auto inner = logits->logits("outer.b.inner").softmax(0);
  const auto free = logits->logits("free").sigmoid();
  const double expected =
      (outer[1] * inner[0] * (1 - free[0]) * free[1]).item<double>();
  CHECK(
      std::abs(
          probability(logits, "outer=b;outer.b.inner=x;free=v") - expected) <
      1e-12);
}

TEST_CASE(
    "PathLogits: log_probability has the right gradient",
    "[path_logits][backward]") {
  auto logits = random_logits(nested_logits_layout());
  const Path path = logits->layout().parse("outer=b;outer.b.inner=y;free=u");
  const auto loss = [&] { return logits->log_probability(path); };
  loss().backward();
  for (const auto& parameter : logits->parameters()) {
    CHECK(gradient_error(loss, parameter) < 1e-8);
  }
  // What is not reached has no part.
  logits->zero_grad();
  logits->log_probability(logits->layout().parse("outer=a;free=u")).backward();
  CHECK_FALSE(logits->logits("outer.b.inner").grad().defined());
}

TEST_CASE(
    "PathLogits: extreme logits give finite probabilities",
    "[path_logits][backward]") {
  auto logits = random_logits(nested_logits_layout());
  {
    const torch::NoGradGuard no_grad;
    for (auto& parameter : logits->parameters()) {
      parameter.fill_(-2000);
      parameter[0] = 2000;
    }
  }
  const auto likely = logits->layout().parse("outer=a;free=u");
  CHECK(logits->log_probability(likely).item<double>() == 0);
  CHECK(logits->draw(1, 2) == likely);
  CHECK(logits->most_probable() == likely);
  const auto unlikely =
      logits->log_probability(logits->layout().parse("outer=c;free=v"));
  CHECK(unlikely.item<double>() == -8000);
  unlikely.backward();  // finite, or it would throw
}

TEST_CASE(
    "PathLogits: samples have the paths' probabilities",
    "[path_logits][random]") {
  auto logits = random_logits(nested_logits_layout());
  const auto paths = all_paths(logits);
  std::vector<double> probabilities;
  for (const Path& path : paths) {
    const torch::NoGradGuard no_grad;
    probabilities.push_back(
        std::exp(logits->log_probability(path).item<double>()));
  }
  std::vector<int64_t> counts(paths.size());
  for (uint64_t step = 0; step < 8000; ++step) {
    const auto found =
        std::find(paths.begin(), paths.end(), logits->draw(7, step));
    ++counts[static_cast<size_t>(found - paths.begin())];
  }
  CHECK(deviations(counts, probabilities) < 4);
}

TEST_CASE(
    "PathLogits: a sample is a function of seed and step",
    "[path_logits][random]") {
  auto logits = random_logits(nested_logits_layout());
  const auto before = torch::rand({1});
  torch::manual_seed(9);
  const auto expected = torch::rand({1});
  torch::manual_seed(9);
  const Path fifth = logits->draw(3, 5);
  for (uint64_t step = 0; step < 20; ++step) {
    logits->draw(3, step);
  }
  CHECK(logits->draw(3, 5) == fifth);
  CHECK(bit_equal(torch::rand({1}), expected));  // no global generator
}

TEST_CASE(
    "PathLogits: most_probable takes the likeliest setting of each gate",
    "[path_logits]") {
  PathLogits logits(nested_logits_layout());
  const SpaceLayout& layout = logits->layout();
  CHECK(layout.to_string(logits->most_probable()) == "outer=a;free=");
  const torch::NoGradGuard no_grad;
  // Candidates of the largest values, in whatever order they stand.
  logits->logits("outer").copy_(torch::tensor({0.1F, 0.3F, 0.2F}));
  logits->logits("outer.b.inner").copy_(torch::tensor({-1.0F, -0.5F}));
  logits->logits("free").copy_(torch::tensor({-0.1F, 0.1F}));
  CHECK(
      layout.to_string(logits->most_probable()) ==
      "outer=b;outer.b.inner=y;free=v");
}

TEST_CASE(
    "PathLogits: reach_probabilities follow the nesting", "[path_logits]") {
  auto logits = random_logits(logits_layout(
      {{"outer", {"a", "b", "c"}, 1, 1, {}},
       {"inner", {"x", "y"}, 1, 1, {{0, 1}, {0, 2}}},
       {"innermost", {"u"}, 0, 1, {{1, 0}}}}));
  const auto outer = logits->probabilities(0);
  const auto inner = logits->probabilities(1);
  const auto reached = logits->reach_probabilities();
  REQUIRE(reached.size() == 3);
  CHECK(reached[0].item<double>() == 1);
  CHECK(largest_difference(reached[1], outer[1] + outer[2]) < 1e-12);
  CHECK(
      largest_difference(reached[2], (outer[1] + outer[2]) * inner[0]) < 1e-12);
}

TEST_CASE(
    "PathLogits: a gradient that is not finite is an error",
    "[path_logits][backward][error]") {
  PathLogits logits(nested_logits_layout());
  const auto nan = std::numeric_limits<double>::quiet_NaN();
  const auto backward = [&] { (logits->logits("outer")[1] * nan).backward(); };
  CHECK(
      message_of<c10::Error>(backward) ==
      "PathLogits: expected a finite gradient for gate 'outer', got [0, nan, "
      "0]; the loss, or what led to it, was not finite");
  CHECK_FALSE(logits->logits("outer").grad().defined());

  // What was there stays; copies and other dtypes are watched as well.
  logits->probabilities("free").sum().backward();
  const auto before = logits->logits("free").grad().clone();
  CHECK_THROWS_AS((logits->logits("free").sum() * nan).backward(), c10::Error);
  CHECK(bit_equal(logits->logits("free").grad(), before));
  const auto copy =
      std::dynamic_pointer_cast<gatedpaths::PathLogitsImpl>(logits->clone());
  copy->to(torch::kDouble);
  CHECK_THROWS_AS((copy->logits(0).sum() * nan).backward(), c10::Error);
}

TEST_CASE("PathLogits: a clone shares nothing", "[path_logits][clone]") {
  auto logits = random_logits(nested_logits_layout());
  logits->logits(0).set_requires_grad(false);
  logits->eval();
  const auto copy =
      std::dynamic_pointer_cast<gatedpaths::PathLogitsImpl>(logits->clone());
  REQUIRE(copy != nullptr);
  CHECK_FALSE(copy->is_training());
  CHECK_FALSE(copy->logits(0).requires_grad());
  CHECK(copy->logits(1).requires_grad());
  CHECK(copy->named_parameters().keys() == logits->named_parameters().keys());
  for (int64_t gate = 0; gate < 3; ++gate) {
    CHECK(bit_equal(copy->logits(gate), logits->logits(gate)));
    CHECK(copy->logits(gate).data_ptr() != logits->logits(gate).data_ptr());
    CHECK(copy->parameters()[static_cast<size_t>(gate)].is_same(
        copy->logits(gate)));
  }
}

TEST_CASE("PathLogits: is saved and loaded", "[path_logits][serialize]") {
  const auto root = gatedpaths::test::holder();
  root->add("a/b", gatedpaths::test::holder())
      ->add("c", gatedpaths::test::fake_gate({"x", "y"}));
  root->add("d", gatedpaths::test::fake_gate({"x", "y", "z"}));
  const PathSpace space(root);
  auto logits = random_logits(space.layout());
  std::stringstream stream;
  {
    torch::serialize::OutputArchive archive;
    logits->save(archive);
    archive.save_to(stream);
  }
  PathLogits loaded(space);
  loaded->to(torch::kDouble);
  torch::serialize::InputArchive archive;
  archive.load_from(stream);
  gatedpaths::load_checked(*loaded, archive);
  CHECK(bit_equal(loaded->logits(0), logits->logits(0)));
  CHECK(bit_equal(loaded->logits(1), logits->logits(1)));
}

TEST_CASE("PathLogits: prints itself", "[path_logits][print]") {
  std::ostringstream stream;
  stream << PathLogits(nested_logits_layout());
  CHECK(stream.str() == "gatedpaths::PathLogits(gates=3, branches=7)");
}

TEST_CASE("PathLogits: errors say what is wrong", "[path_logits][error]") {
  const auto made = [](std::vector<GateLayout> gates) {
    return message_of<c10::ValueError>(
        [&] { PathLogits logits(logits_layout(std::move(gates))); });
  };
  CHECK(
      made({{"g", {"a", "b", "c"}, 1, 2, {}}}) ==
      "PathLogits: expected gates with 1 open branch, or with any number open, "
      "got gate 'g' with 1 to 2 of 3 branches open");
  CHECK(
      made({}) == "PathLogits: expected a space with a gate, got one without");
  CHECK(message_of<c10::ValueError>([] {
          PathLogits logits(std::shared_ptr<const SpaceLayout>{});
        }) == "PathLogits: expected a space, got a null pointer");

  PathLogits logits(nested_logits_layout());
  CHECK_THROWS_AS(logits->logits(3), c10::IndexError);
  CHECK_THROWS_AS(logits->one_of(-1), c10::IndexError);
  CHECK_THROWS_AS(logits->probabilities("nowhere"), c10::IndexError);
  CHECK_THROWS_AS(logits->log_probability(Path()), c10::ValueError);

  PathLogits several(logits_layout(
      {{"a", {"0", "1"}, 1, 1, {}},
       {"b", {"0", "1"}, 1, 1, {}},
       {"c", {"0", "1"}, 1, 1, {{0, 0}, {1, 0}}}}));
  CHECK(
      message_of<c10::ValueError>([&] { several->reach_probabilities(); }) ==
      "PathLogits::reach_probabilities: expected gates in one place, or in "
      "branches of one gate with 1 open branch, got gate 'c' in 2 places");

  const torch::NoGradGuard no_grad;
  logits->logits(1).select(0, 1).fill_(std::numeric_limits<float>::infinity());
  CHECK(
      message_of<c10::Error>([&] { logits->draw(1, 1); }) ==
      "PathLogits: expected finite logits, got inf for branch 1 ('y') of gate "
      "'outer.b.inner'");
}
