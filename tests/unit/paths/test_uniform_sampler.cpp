// SPDX-License-Identifier: MIT
#include <gatedpaths/paths/uniform_sampler.hpp>

#include <map>
#include <thread>

#include "support/catch.hpp"
#include "support/chi_square.hpp"
#include "support/fake_gate.hpp"

using gatedpaths::Path;
using gatedpaths::PathSpace;
using gatedpaths::SpaceLayout;
using gatedpaths::UniformSampler;
using gatedpaths::test::deviations;
using gatedpaths::test::deviations_from_uniform;

namespace {

using Layout = std::shared_ptr<const SpaceLayout>;

Layout layout_of(std::vector<gatedpaths::GateLayout> gates) {
  return std::make_shared<const SpaceLayout>(std::move(gates));
}

Layout two_gates() {
  return layout_of(
      {{"a", {"0", "1", "2", "3"}, 1, 2, {}},
       {"b", {"0", "1", "2"}, 1, 1, {}}});
}

// How often each path of the space was drawn, by its number.
std::vector<int64_t> counts_of(const UniformSampler& sampler, uint64_t draws) {
  std::map<std::string, size_t> number;
  for (uint64_t i = 0; i < sampler.layout().size(); ++i) {
    number[sampler.layout().to_string(sampler.layout().at(i))] = i;
  }
  std::vector<int64_t> counts(number.size());
  for (uint64_t step = 0; step < draws; ++step) {
    ++counts[number.at(sampler.layout().to_string(sampler.at(step)))];
  }
  return counts;
}

}  // namespace

TEST_CASE(
    "UniformSampler: gates draw uniformly and independently",
    "[uniform_sampler][random]") {
  // Uniform over all pairs is both at once.
  const UniformSampler sampler(two_gates(), 7);
  CHECK(deviations_from_uniform(counts_of(sampler, 30000)) < 4);
}

TEST_CASE(
    "UniformSampler: steps are independent of each other",
    "[uniform_sampler][random]") {
  const UniformSampler sampler(
      layout_of({{"g", {"0", "1", "2"}, 1, 1, {}}}), 5);
  std::vector<int64_t> pairs(9);
  int64_t before = sampler.at(0).open_branches(0)[0];
  for (uint64_t step = 1; step <= 18000; ++step) {
    const int64_t now = sampler.at(step).open_branches(0)[0];
    ++pairs[static_cast<size_t>(before * 3 + now)];
    before = now;
  }
  CHECK(deviations_from_uniform(pairs) < 4);
}

TEST_CASE(
    "UniformSampler: nested gates draw where they are reached",
    "[uniform_sampler][random]") {
  // As its documentation says: 1/6 each through the first branch, 1/2 through
  // the second.
  const UniformSampler sampler(
      layout_of(
          {{"outer", {"a", "b"}, 1, 1, {}},
           {"inner", {"x", "y", "z"}, 1, 1, {{0, 0}}}}),
      7);
  CHECK(sampler.layout().size() == 4);
  CHECK(
      deviations(
          counts_of(sampler, 12000), {1.0 / 6, 1.0 / 6, 1.0 / 6, 1.0 / 2}) < 4);
}

TEST_CASE(
    "UniformSampler: the n-th path does not depend on what was drawn before",
    "[uniform_sampler][random]") {
  UniformSampler sampler(two_gates(), 7);
  std::vector<Path> paths;
  for (int i = 0; i < 50; ++i) {
    CHECK(sampler.step() == static_cast<uint64_t>(i));
    paths.push_back(sampler.next());
  }
  UniformSampler other(two_gates(), 7);
  for (size_t i = paths.size(); i > 0; --i) {
    CHECK(other.at(i - 1) == paths[i - 1]);
  }
  CHECK(other.step() == 0);

  UniformSampler unlike(two_gates(), 8);
  size_t equal = 0;
  for (const Path& path : paths) {
    equal += unlike.next() == path ? 1 : 0;
  }
  CHECK(equal < 15);  // 50 / 30 on average
}

TEST_CASE(
    "UniformSampler: the n-th path is the same on every thread",
    "[uniform_sampler][random]") {
  const UniformSampler sampler(two_gates(), 7);
  constexpr uint64_t kSteps = 400;
  constexpr uint64_t kThreads = 4;
  std::vector<Path> paths(kSteps);
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t step = t; step < kSteps; step += kThreads) {
        paths[step] = sampler.at(step);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (uint64_t step = 0; step < kSteps; ++step) {
    CHECK(paths[step] == sampler.at(step));
  }
}

TEST_CASE(
    "UniformSampler: draws the same in every version",
    "[uniform_sampler][random]") {
  // Runs that were stopped go on only if these stay.
  // The seed of the stream whose key is 7, see stream_seed.
  const UniformSampler sampler(two_gates(), 0x1c5472b5747122d3U);
  std::vector<std::string> texts;
  for (uint64_t step = 0; step < 6; ++step) {
    texts.push_back(sampler.layout().to_string(sampler.at(step)));
  }
  // Computed apart from this code.
  CHECK(
      texts == std::vector<std::string>{
                   "a=2;b=0",
                   "a=0+2;b=2",
                   "a=1;b=0",
                   "a=0+2;b=1",
                   "a=1;b=2",
                   "a=0+2;b=2"});
}

TEST_CASE(
    "UniformSampler: works without the network, touches no global stream",
    "[uniform_sampler][random]") {
  torch::manual_seed(1);
  const auto expected = torch::rand({3});
  torch::manual_seed(1);

  auto net = gatedpaths::test::fake_gate({"a", "b"});
  auto space = std::make_unique<PathSpace>(*net);
  UniformSampler sampler(*space, 3);
  CHECK(sampler.layout() == *space->layout());
  const Path path = sampler.at(9);
  space.reset();
  net.reset();
  CHECK(sampler.at(9) == path);
  CHECK(torch::equal(torch::rand({3}), expected));
}

TEST_CASE(
    "UniformSampler: a path is drawn and applied in one line",
    "[uniform_sampler]") {
  auto net = gatedpaths::test::fake_gate({"a", "b", "c"}, 0, 3);
  PathSpace space(net);
  UniformSampler sampler(space, /*seed=*/7);
  for (uint64_t step = 0; step < 20; ++step) {
    space.apply(sampler.next());
    CHECK(space.current() == sampler.at(step));
  }
}
