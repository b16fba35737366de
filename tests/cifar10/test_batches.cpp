// SPDX-License-Identifier: MIT
#include "batches.hpp"

#include "stand_in.hpp"
#include "support/catch.hpp"

namespace cifar10 {

TEST_CASE("batches: an order is a permutation of all images", "[cifar10]") {
  const auto order = epoch_order(1000, 7, 2);
  CHECK(std::get<0>(order.sort()).equal(torch::arange(1000)));
  CHECK_FALSE(order.equal(torch::arange(1000)));
}

TEST_CASE("batches: an order is a function of seed and epoch", "[cifar10]") {
  torch::manual_seed(1);
  const auto order = epoch_order(1000, 7, 2);
  torch::manual_seed(2);
  epoch_order(1000, 8, 1);
  CHECK(order.equal(epoch_order(1000, 7, 2)));
  CHECK_FALSE(order.equal(epoch_order(1000, 8, 2)));
  CHECK_FALSE(order.equal(epoch_order(1000, 7, 3)));
}

TEST_CASE("batches: the first image is anywhere equally often", "[cifar10]") {
  constexpr int kTrials = 4000;
  auto counts = torch::zeros({10}, torch::kInt64);
  for (int epoch = 0; epoch < kTrials; ++epoch) {
    counts[epoch_order(10, 3, epoch)[0].item<int64_t>()] += 1;
  }
  // 400 each, of standard deviation 19
  CHECK(counts.min().item<int64_t>() > 400 - 5 * 19);
  CHECK(counts.max().item<int64_t>() < 400 + 5 * 19);
}

TEST_CASE("batches: pixels are scaled from -1 to 1", "[cifar10]") {
  Images images{
      torch::zeros({3, 3, 32, 32}, torch::kUInt8),
      torch::tensor({4, 5, 6}, torch::kInt64)};
  images.pixels[2].fill_(255);

  const auto batch = make_batch(images, torch::tensor({2, 0}, torch::kInt64));
  CHECK(batch.images.scalar_type() == torch::kFloat32);
  CHECK(batch.images[0].equal(torch::ones({3, 32, 32})));
  CHECK(batch.images[1].equal(-torch::ones({3, 32, 32})));
  CHECK(batch.labels.equal(torch::tensor({6, 4}, torch::kInt64)));

  const auto slice = make_batch(images, 1, 3);
  CHECK(slice.labels.equal(torch::tensor({5, 6}, torch::kInt64)));
  CHECK(slice.images[1].equal(torch::ones({3, 32, 32})));
  CHECK(images.pixels[0].eq(0).all().item<bool>());
}

TEST_CASE("batches: the last batch holds what is left", "[cifar10]") {
  CHECK(batch_count(100, 32) == 4);
  CHECK(batch_count(96, 32) == 3);
  CHECK(batch_count(5, 32) == 1);
  const auto last = batch_range(3, 100, 32);
  CHECK(last.begin == 96);
  CHECK(last.end == 100);
}

}  // namespace cifar10
