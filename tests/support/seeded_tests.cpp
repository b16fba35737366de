// SPDX-License-Identifier: MIT
// Compiled into every test program: gives each test case, and each turn of its
// generators and sections, a seed of its own for LibTorch's default streams.
// What a test draws so depends neither on the clock nor on the tests before it;
// GATEDPATHS_TEST_SEED=<n> chooses another seed for all of them.
#include <ATen/Context.h>

#include <catch2/catch_test_case_info.hpp>
#include <catch2/reporters/catch_reporter_event_listener.hpp>
#include <catch2/reporters/catch_reporter_registrars.hpp>

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>

namespace {

class SeededTests : public Catch::EventListenerBase {
 public:
  using EventListenerBase::EventListenerBase;

  void testCasePartialStarting(
      const Catch::TestCaseInfo& test, uint64_t turn) override {
    // FNV-1a, since std::hash may differ between standard libraries.
    uint64_t hash = 0xcbf29ce484222325U;
    const auto text = test.name + "/" + std::to_string(turn) + "/" + chosen();
    for (const char c : text) {
      hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    }
    // What remains of a longer seed in the CPU's generator.
    seed_ = hash >> 32U;
    at::manual_seed(seed_);
  }

  void assertionEnded(const Catch::AssertionStats& stats) override {
    if (!stats.assertionResult.isOk()) {
      std::cerr << "torch::manual_seed(" << seed_
                << ") before the test, from GATEDPATHS_TEST_SEED=" << chosen()
                << '\n';
    }
  }

 private:
  static std::string chosen() {
    const char* seed = std::getenv("GATEDPATHS_TEST_SEED");
    return seed == nullptr ? "0" : seed;
  }

  uint64_t seed_ = 0;
};

}  // namespace

CATCH_REGISTER_LISTENER(SeededTests)
