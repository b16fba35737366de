// SPDX-License-Identifier: MIT
#include <gatedpaths/paths/sampler.hpp>
#include <gatedpaths/paths/uniform_sampler.hpp>

#include <numeric>

#include "support/catch.hpp"
#include "support/errors.hpp"

using gatedpaths::DrawState;
using gatedpaths::Path;
using gatedpaths::Sampler;
using gatedpaths::SpaceLayout;
using gatedpaths::UniformSampler;
using gatedpaths::test::message_of;

namespace {

// As the documentation of Sampler shows it.
class Largest : public Sampler {
 public:
  explicit Largest(std::shared_ptr<const SpaceLayout> layout)
      : Sampler(std::move(layout), /*seed=*/0) {}

  Path at(uint64_t) const override {
    return layout().make_path([&](int64_t gate, auto& open) {
      open.resize(static_cast<size_t>(layout().gate(gate).max_open));
      std::iota(open.begin(), open.end(), 0);
    });
  }
};

static_assert(gatedpaths::PathSampler<Largest>);
static_assert(gatedpaths::PathSampler<UniformSampler>);
static_assert(gatedpaths::PathSampler<Sampler>);
static_assert(!gatedpaths::PathSampler<Path>);

std::shared_ptr<const SpaceLayout> small_layout() {
  return std::make_shared<const SpaceLayout>(
      std::vector<gatedpaths::GateLayout>{
          {"a", {"0", "1", "2", "3"}, 1, 2, {}},
          {"b", {"0", "1", "2"}, 1, 1, {}}});
}

}  // namespace

TEST_CASE("Sampler: goes on exactly from a saved state", "[sampler]") {
  UniformSampler sampler(small_layout(), 7);
  CHECK(sampler.seed() == 7);
  CHECK(sampler.state() == DrawState{7, 0});
  for (int i = 0; i < 5; ++i) {
    sampler.next();
  }
  const DrawState saved = sampler.state();
  CHECK(saved == DrawState{7, 5});
  const Path sixth = sampler.next();
  const Path seventh = sampler.next();

  UniformSampler resumed(small_layout(), 1);
  resumed.set_state(saved);
  CHECK(resumed.next() == sixth);
  CHECK(resumed.next() == seventh);
  resumed.set_step(5);
  CHECK(resumed.next() == sixth);
  CHECK(resumed.step() == 6);
}

TEST_CASE("Sampler: copies go on by themselves", "[sampler]") {
  UniformSampler sampler(small_layout(), 7);
  UniformSampler copy = sampler;
  const Path first = sampler.next();
  CHECK(copy.step() == 0);
  CHECK(copy.next() == first);
}

TEST_CASE("Sampler: one's own is a few lines", "[sampler]") {
  Largest sampler(small_layout());
  const Path path = sampler.next();
  CHECK(sampler.layout().to_string(path) == "a=0+1;b=0");
  CHECK(sampler.next() == path);
  CHECK(sampler.step() == 2);
}

TEST_CASE("Sampler: needs a space", "[sampler][error]") {
  CHECK(message_of<c10::ValueError>([] {
          UniformSampler(std::shared_ptr<const SpaceLayout>(), 1);
        }) == "Sampler: expected a space, got a null pointer");
}
