// SPDX-License-Identifier: MIT
#include "stand_in.hpp"

#include "support/catch.hpp"
#include "training_run.hpp"

#include <algorithm>
#include <set>

namespace cifar10 {

TEST_CASE("stand-in: an image depends on its index alone", "[cifar10]") {
  const auto few = stand_in_records(true, 3);
  const auto more = stand_in_records(true, 5);
  CHECK(std::equal(few.begin(), few.end(), more.begin()));
  CHECK(few != stand_in_records(false, 3));
}

TEST_CASE("stand-in: it has ten classes, about equally often", "[cifar10]") {
  const auto data = stand_in_dataset(4000);
  CHECK(data.is_stand_in);
  CHECK(data.train.size() == 4000);
  CHECK(data.test.size() == 4000);
  const auto names = data.class_names;
  CHECK(std::set<std::string>(names.begin(), names.end()).size() == kClasses);

  // 400 each, of standard deviation 19
  const auto counts = torch::bincount(data.train.labels, {}, kClasses);
  CHECK(counts.min().item<int64_t>() > 400 - 5 * 19);
  CHECK(counts.max().item<int64_t>() < 400 + 5 * 19);
}

TEST_CASE(
    "stand-in: a small net learns to tell the classes apart on every path",
    "[cifar10][slow]") {
  Options options;
  options.epochs = 3;
  options.batch_size = 32;
  options.lr = 0.05;
  TrainingRun run(options, stand_in_dataset(6000));
  for (; !run.finished(); run.end_epoch()) {
    while (!run.at_epoch_end()) {
      run.step();
    }
  }
  for (const auto& result : run.test()) {
    INFO(result.path);
    CHECK(result.accuracy > 0.6);
  }
}

}  // namespace cifar10
