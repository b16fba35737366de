// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/own_streams.hpp>

#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using gatedpaths::detail::OwnStreams;
using gatedpaths::test::bit_equal;
using gatedpaths::test::random_stream;

namespace {

struct Draw {
  const char* name;
  torch::Tensor (*draw)();
};

torch::Tensor probabilities() { return torch::full({64}, 0.5); }

/// Every way in which a module may come to a random number, as far as the
/// field's layers use it.
const Draw kDraws[] = {
    {"rand", [] { return torch::rand({64}); }},
    {"randn of few", [] { return torch::randn({3}); }},
    {"randn of many", [] { return torch::randn({64}); }},
    {"randn in double", [] { return torch::randn({3}, torch::kDouble); }},
    {"randint", [] { return torch::randint(1000, {64}); }},
    {"randperm", [] { return torch::randperm(64); }},
    {"rand_like", [] { return torch::rand_like(probabilities()); }},
    {"randn_like", [] { return torch::randn_like(probabilities()); }},
    {"randint_like", [] { return torch::randint_like(probabilities(), 1000); }},
    {"bernoulli", [] { return torch::bernoulli(probabilities()); }},
    {"bernoulli_", [] { return torch::empty({64}).bernoulli_(0.5); }},
    {"multinomial", [] { return torch::multinomial(probabilities(), 8); }},
    {"normal", [] { return at::normal(probabilities(), 2.0); }},
    {"normal_", [] { return torch::empty({64}).normal_(); }},
    {"uniform_", [] { return torch::empty({64}).uniform_(); }},
    {"random_", [] { return torch::empty({64}).random_(); }},
    {"exponential_", [] { return torch::empty({64}).exponential_(); }},
    {"cauchy_", [] { return torch::empty({64}).cauchy_(); }},
    {"log_normal_", [] { return torch::empty({64}).log_normal_(); }},
    {"geometric_", [] { return torch::empty({64}).geometric_(0.3); }},
    {"poisson", [] { return torch::poisson(probabilities() * 20); }},
    {"binomial",
     [] { return torch::binomial(torch::full({64}, 9.), probabilities()); }},
    {"gamma", [] { return torch::_standard_gamma(probabilities() * 20); }},
    {"dropout", [] { return torch::dropout(probabilities(), 0.5, true); }},
    {"dropout in place",
     [] {
       auto x = probabilities();
       torch::dropout_(x, 0.5, true);
       return x;
     }},
    {"feature_dropout",
     [] {
       return torch::feature_dropout(torch::ones({8, 8, 2, 2}), 0.5, true);
     }},
    {"alpha_dropout",
     [] { return torch::alpha_dropout(probabilities(), 0.5, true); }},
    {"rrelu", [] { return torch::rrelu(-probabilities(), 0.1, 0.9, true); }},
    {"gumbel_softmax",
     [] {
       return torch::nn::functional::gumbel_softmax(torch::zeros({8, 8}));
     }},
    {"fractional_max_pool2d",
     [] {
       return torch::nn::functional::fractional_max_pool2d(
           torch::rand({1, 2, 9, 9}),
           torch::nn::functional::FractionalMaxPool2dFuncOptions(2).output_size(
               torch::ExpandingArray<2>(4)));
     }},
    {"attention",
     [] {
       const auto x = torch::ones({1, 2, 8, 4});
       return at::scaled_dot_product_attention(x, x, x, {}, 0.5);
     }},
    {"a layer's weights", [] { return torch::nn::Linear(8, 8)->weight; }},
    {"lstm",
     [] {
       torch::nn::LSTM lstm(
           torch::nn::LSTMOptions(4, 4).num_layers(2).dropout(0.5));
       return std::get<0>(lstm->forward(torch::ones({3, 2, 4})));
     }},
};

const Draw& any_draw() {
  return kDraws[GENERATE(range(size_t{0}, std::size(kDraws)))];
}

}  // namespace

TEST_CASE("OwnStreams: the default stream stays where it is", "[own_streams]") {
  const auto& [name, draw] = any_draw();
  const bool no_grad = GENERATE(true, false);
  CAPTURE(name, no_grad);
  const c10::AutoGradMode mode(!no_grad);
  const auto draw_in_scope = [&draw_it = draw] {
    const OwnStreams streams;
    return draw_it();
  };
  torch::manual_seed(3);
  torch::randn({1});  // leaves a second normal number behind
  const auto before = random_stream();
  const auto drawn = draw_in_scope();
  CHECK(bit_equal(draw_in_scope(), drawn));
  CHECK(bit_equal(random_stream(), before));
  CHECK(bit_equal(draw(), drawn));
  CHECK_FALSE(bit_equal(random_stream(), before));
  CHECK_FALSE(bit_equal(draw_in_scope(), drawn));
}

TEST_CASE(
    "OwnStreams: an inner scope leaves the outer stream", "[own_streams]") {
  torch::manual_seed(5);
  const auto draw_twice = [](bool scope_between) {
    const OwnStreams outer;
    const auto first = torch::rand({4});
    if (scope_between) {
      const OwnStreams inner;
      torch::rand({4});
    }
    return torch::cat({first, torch::rand({4})});
  };
  CHECK(bit_equal(draw_twice(false), draw_twice(true)));
}

TEST_CASE("OwnStreams: a generator that is named is used", "[own_streams]") {
  auto named = at::detail::createCPUGenerator(9);
  const auto expected = torch::rand({5}, named);
  named.set_current_seed(9);
  const OwnStreams streams;
  CHECK(bit_equal(torch::rand({5}, named), expected));
}

TEST_CASE("OwnStreams: nothing is drawn on meta tensors", "[own_streams]") {
  const auto before = random_stream();
  const OwnStreams streams;
  const auto x = torch::ones({4, 4}, torch::kMeta);
  CHECK(torch::dropout(x, 0.5, true).is_meta());
  CHECK(torch::randn({2, 3}, torch::kMeta).is_meta());
  CHECK(bit_equal(random_stream(), before));
}

TEST_CASE("OwnStreams: each thread has its own scopes", "[own_streams]") {
  torch::manual_seed(8);
  const auto alone = torch::rand({1000}, torch::kDouble);
  torch::manual_seed(8);
  torch::Tensor beside;
  {
    const OwnStreams streams;
    torch::rand({10});
    std::thread([&] {
      CHECK(OwnStreams::innermost() == nullptr);
      beside = torch::rand({1000}, torch::kDouble);
    }).join();
    CHECK(OwnStreams::innermost() == &streams);
  }
  CHECK(OwnStreams::innermost() == nullptr);
  CHECK(bit_equal(alone, beside));
}
