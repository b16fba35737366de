// SPDX-License-Identifier: MIT
#include <gatedpaths/search/operation_counter.hpp>

#include <map>
#include <string>

#include "support/catch.hpp"

using gatedpaths::CountConvention;
using gatedpaths::OperationCounter;

namespace {

// y = x W, where no module says so.
struct OwnProduct : torch::nn::Module {
  OwnProduct() : weight(register_parameter("weight", torch::ones({6, 5}))) {}
  torch::Tensor forward(const torch::Tensor& x) { return x.matmul(weight); }
  torch::Tensor weight;
};

template <class Run>
int64_t macs_of(Run run) {
  OperationCounter counter;
  run();
  CHECK(counter.unknown() == std::map<std::string, int64_t>{});
  return counter.macs();
}

template <class Run>
int64_t flops_of(const CountConvention& convention, Run run) {
  OperationCounter counter(convention);
  run();
  return counter.flops();
}

}  // namespace

TEST_CASE("OperationCounter: counts products by their shapes", "[search]") {
  const auto x = torch::ones({4, 6});
  CHECK(macs_of([&] { torch::mm(x, torch::ones({6, 5})); }) == 120);
  CHECK(macs_of([&] { OwnProduct().forward(x); }) == 120);
  CHECK(macs_of([&] { torch::nn::Linear(6, 5)->forward(x); }) == 120);
  CHECK(macs_of([&] {
          torch::nn::Linear(6, 5)->forward(torch::ones({2, 3, 6}));
        }) == 180);
  CHECK(macs_of([&] {
          torch::matmul(torch::ones({2, 4, 6}), torch::ones({2, 6, 3}));
        }) == 144);
  CHECK(macs_of([&] { torch::mv(x, torch::ones({6})); }) == 24);
  CHECK(macs_of([&] { torch::dot(torch::ones({6}), torch::ones({6})); }) == 6);
}

TEST_CASE("OperationCounter: counts convolutions of each kind", "[search]") {
  namespace nn = torch::nn;
  const auto x = torch::ones({2, 4, 8, 8});
  const auto conv = [&](nn::Conv2dOptions options) {
    return macs_of([&] { nn::Conv2d(options)->forward(x); });
  };
  CHECK(conv(nn::Conv2dOptions(4, 6, 3)) == 2 * 36 * 6 * 4 * 9);
  CHECK(conv(nn::Conv2dOptions(4, 8, 3).groups(4).stride(2)) == 2 * 9 * 8 * 9);
  CHECK(macs_of([&] {
          nn::ConvTranspose2d(nn::ConvTranspose2dOptions(4, 6, 3))->forward(x);
        }) == 2 * 64 * 6 * 4 * 9);
}

TEST_CASE("OperationCounter: a backward has its own counts", "[search]") {
  const auto x = torch::ones({4, 6});
  torch::nn::Linear layer(6, 5);
  CHECK(macs_of([&] { layer->forward(x).sum().backward(); }) == 240);
  const auto grad = x.clone().requires_grad_();
  CHECK(macs_of([&] { layer->forward(grad).sum().backward(); }) == 360);

  torch::nn::Conv2d conv(torch::nn::Conv2dOptions(4, 6, 3));
  const auto image = torch::ones({2, 4, 8, 8}).requires_grad_();
  const int64_t once = 2 * 36 * 6 * 4 * 9;
  CHECK(macs_of([&] { conv->forward(image).sum().backward(); }) == 3 * once);
  torch::nn::Conv2d grouped(torch::nn::Conv2dOptions(4, 6, 3).groups(2));
  CHECK(macs_of([&] {
          grouped->forward(image).sum().backward();
        }) == 3 * once / 2);
}

TEST_CASE("OperationCounter: a fused LSTM is its products", "[search]") {
  torch::nn::LSTM lstm(torch::nn::LSTMOptions(8, 16).num_layers(2));
  const auto x = torch::ones({5, 3, 8});
  const int64_t expected = 15 * (64 * (8 + 16) + 64 * (16 + 16));
  CHECK(macs_of([&] { lstm->forward(x); }) == expected);
  const torch::NoGradGuard no_grad;
  CHECK(macs_of([&] { lstm->forward(x); }) == expected);
}

TEST_CASE("OperationCounter: fused attention is its products", "[search]") {
  const auto q = torch::ones({2, 4, 6, 8}).requires_grad_();
  const auto kv = torch::ones({2, 4, 7, 8}).requires_grad_();
  const auto attend = [&] {
    return at::scaled_dot_product_attention(q, kv, kv);
  };
  const int64_t product = 2 * 4 * 6 * 7 * 8;
  CHECK(macs_of(attend) == 2 * product);
  CHECK(macs_of([&] { attend().sum().backward(); }) == 7 * product);
}

TEST_CASE("OperationCounter: conventions count what they say", "[search]") {
  namespace nn = torch::nn;
  const auto x = torch::ones({2, 4, 8, 8});
  nn::Conv2d conv(nn::Conv2dOptions(4, 6, 3));
  const int64_t macs = 2 * 36 * 6 * 4 * 9;
  const int64_t outputs = 2 * 36 * 6;
  const auto run_conv = [&] { conv->forward(x); };
  const auto torch_own = CountConvention::torch_flop_counter();
  const auto fvcore = CountConvention::fvcore();
  const auto ptflops = CountConvention::ptflops();
  CHECK(flops_of(torch_own, run_conv) == 2 * macs);
  CHECK(flops_of(fvcore, run_conv) == macs);
  CHECK(flops_of(ptflops, run_conv) == macs + outputs);

  nn::BatchNorm2d norm(4);
  const auto run_norm = [&] { norm->forward(x); };
  CHECK(flops_of(fvcore, run_norm) == 5 * 512);
  norm->eval();
  CHECK(flops_of(torch_own, run_norm) == 0);
  CHECK(flops_of(fvcore, run_norm) == 2 * 512);
  nn::BatchNorm2d plain(nn::BatchNorm2dOptions(4).affine(false));
  plain->eval();
  CHECK(flops_of(fvcore, [&] { plain->forward(x); }) == 512);
  nn::LayerNorm layer_norm(nn::LayerNormOptions({8}));
  CHECK(flops_of(fvcore, [&] { layer_norm->forward(x); }) == 5 * 512);

  const torch::NoGradGuard no_grad;
  CHECK(flops_of(ptflops, [&] { torch::relu(x); }) == 512);
  CHECK(flops_of(fvcore, [&] { torch::relu(x); }) == 0);
  CHECK(flops_of(ptflops, [&] { torch::max_pool2d(x, 2); }) == 512);
  CHECK(flops_of(ptflops, [&] {
          torch::max_pool1d(torch::ones({2, 4, 8}), 2);
        }) == 64);
  CHECK(
      flops_of(fvcore, [&] { torch::adaptive_avg_pool2d(x, {1, 1}); }) == 512);
  CHECK(flops_of(ptflops, [&] { x + x; }) == 512);
}

TEST_CASE("OperationCounter: lists what it does not know", "[search]") {
  OperationCounter counter;
  const auto x = torch::ones({3, 3});
  torch::cdist(x, x);
  torch::fft_fft(x);
  CHECK_FALSE(counter.unknown().empty());
  for (const auto& [name, calls] : counter.unknown()) {
    CAPTURE(name);
    CHECK(
        (name.find("cdist") != std::string::npos ||
         name.find("fft") != std::string::npos));
    CHECK(calls >= 1);
  }
}

TEST_CASE("OperationCounter: each of nested ones counts", "[search]") {
  const auto x = torch::ones({4, 6});
  OperationCounter outer;
  torch::mm(x, x.t());
  {
    const OperationCounter inner;
    torch::mm(x, x.t());
    CHECK(inner.macs() == 96);
    CHECK(inner.by_operator().at("aten::mm").flops == 192);
  }
  CHECK(outer.macs() == 192);
  CHECK_THROWS_AS(torch::mm(x, x), c10::Error);
  CHECK(outer.macs() == 192);
  torch::mm(x, x.t());
  CHECK(outer.macs() == 288);
}
