// SPDX-License-Identifier: MIT
#include "training_run.hpp"

#include "batches.hpp"
#include "stand_in.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"
#include "support/tensors.hpp"

#include <torch/nn/functional/loss.h>

#include <algorithm>
#include <memory>
#include <optional>

namespace cifar10 {

namespace test = gatedpaths::test;
namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;
using test::largest_difference;
using test::message_of;
using test::read_file;
using test::write_file;

// 3 epochs of 7 steps, the last of each smaller.
Options small() {
  Options options;
  options.data.limit = 100;
  options.batch_size = 16;
  options.epochs = 3;
  return options;
}

std::unique_ptr<TrainingRun> start(const Options& options) {
  return std::make_unique<TrainingRun>(
      options, stand_in_dataset(options.data.limit));
}

void advance(TrainingRun& run, std::int64_t steps) {
  for (std::int64_t i = 0; i < steps; ++i) {
    run.step();
    if (run.at_epoch_end()) {
      run.end_epoch();
    }
  }
}

bool same_weights(TrainingRun& a, TrainingRun& b) {
  const auto left = a.net()->named_parameters();
  const auto right = b.net()->named_parameters();
  REQUIRE(left.keys() == right.keys());
  return std::equal(
      left.begin(),
      left.end(),
      right.begin(),
      [](const auto& x, const auto& y) { return x.value().equal(y.value()); });
}

/// The largest difference of any weight in the dense form. Of those behind the
/// paths, only those of `path` count where it is given.
double difference(
    TrainingRun& a, TrainingRun& b, std::optional<std::int64_t> path = {}) {
  const auto left = gatedpaths::slots_to_dense(*a.net());
  const auto right = gatedpaths::slots_to_dense(*b.net());
  REQUIRE(left.size() == right.size());
  double largest = 0;
  for (const auto& item : left) {
    auto x = item.value();
    auto y = right[item.key()];
    if (path && item.key() == "fc1.weight") {
      x = x.narrow(1, 400 * *path, 400);
      y = y.narrow(1, 400 * *path, 400);
    }
    largest = std::max(largest, largest_difference(x, y));
  }
  return largest;
}

std::int64_t open_path(TrainingRun& run) {
  const auto path = run.space().current();
  return path.open_branches(0)[0];
}

}  // namespace

TEST_CASE("TrainingRun: counts steps and epochs", "[cifar10]") {
  auto run = start(small());
  CHECK(run->total_steps() == 21);
  advance(*run, 6);
  run->step();
  REQUIRE(run->at_epoch_end());
  const auto summary = run->end_epoch();
  CHECK(summary.epoch == 1);
  CHECK(summary.steps == 7);
  CHECK(summary.loss > 1.5);
  CHECK(summary.loss < 3.5);
  CHECK(summary.lr == Catch::Approx(0.04 * (1 - 6.0 / 21)));
  CHECK(summary.seconds > 0);
  advance(*run, 14);
  CHECK(run->finished());
  CHECK(run->position().step == 21);
  CHECK(run->lr() == 0);
}

TEST_CASE("TrainingRun: the seed settles everything", "[cifar10]") {
  auto options = small();
  const auto a = start(options);
  const auto b = start(options);
  options.seed = 1;
  const auto c = start(options);
  CHECK_FALSE(same_weights(*a, *c));
  advance(*a, 10);
  advance(*b, 10);
  CHECK(same_weights(*a, *b));
}

TEST_CASE("TrainingRun: both skips train the same weights", "[cifar10]") {
  auto options = small();
  options.form = GENERATE(Form::kSlots, Form::kDense);
  const auto a = start(options);
  options.skip = gatedpaths::Skip::kNoGrad;
  const auto b = start(options);
  advance(*a, 10);
  advance(*b, 10);
  CHECK(same_weights(*a, *b));
}

TEST_CASE("TrainingRun: both forms make the same steps", "[cifar10]") {
  auto options = small();
  options.paths = 3;
  SECTION("but for the momentum and the decay of closed paths") {
    options.momentum = 0;
    options.weight_decay = 0;
    const auto a = start(options);
    options.form = Form::kDense;
    const auto b = start(options);
    CHECK(difference(*a, *b) == 0);
    advance(*a, 21);
    advance(*b, 21);
    CHECK(difference(*a, *b) < 1e-5);
  }
  SECTION("which move their weights in the dense form alone") {
    const auto a = start(options);
    options.form = Form::kDense;
    const auto b = start(options);
    advance(*a, 1);
    advance(*b, 1);
    CHECK(difference(*a, *b, open_path(*a)) < 1e-6);
    CHECK(difference(*a, *b) > 1e-6);
  }
}

TEST_CASE(
    "TrainingRun: the optimizer's own steps train the same weights",
    "[cifar10]") {
  auto options = small();
  options.paths = 3;
  options.form = GENERATE(Form::kSlots, Form::kDense);
  const auto run = start(options);
  const auto other = start(options);
  gatedpaths::UniformSampler sampler(other->space(), options.seed);
  torch::optim::SGD optimizer(
      other->net()->parameters(),
      torch::optim::SGDOptions(options.lr)
          .momentum(options.momentum)
          .weight_decay(options.weight_decay));
  const auto order =
      epoch_order(other->data().train.size(), options.seed, /*epoch=*/0);
  for (std::int64_t i = 0; i < 6; ++i) {
    if (i == 3) {
      run->test();  // which opens every path
    }
    static_cast<torch::optim::SGDOptions&>(
        optimizer.param_groups()[0].options())
        .lr(run->lr());
    const auto batch =
        make_batch(other->data().train, order.slice(0, 16 * i, 16 * (i + 1)));
    other->space().apply(sampler.next());
    optimizer.zero_grad();
    torch::nn::functional::cross_entropy(
        other->net()->forward(batch.images), batch.labels)
        .backward();
    optimizer.step();
    run->step();
    CHECK(same_weights(*run, *other));
  }
}

TEST_CASE("TrainingRun: tests every path and goes on training", "[cifar10]") {
  auto options = small();
  options.paths = 3;
  const auto run = start(options);
  const auto untested = start(options);
  advance(*run, 3);
  const auto results = run->test();
  REQUIRE(results.size() == 3);
  for (const auto& result : results) {
    CHECK(result.accuracy >= 0);
    CHECK(result.accuracy <= 1);
    CHECK(
        run->space().to_string(run->space().parse(result.path)) == result.path);
  }
  CHECK(run->net()->is_training());
  advance(*run, 3);
  advance(*untested, 6);
  CHECK(same_weights(*run, *untested));
}

TEST_CASE("TrainingRun: a resumed run ends with the same bits", "[cifar10]") {
  const test::TemporaryFolder folder;
  auto options = small();
  options.paths = GENERATE(2, 5);
  options.form = GENERATE(Form::kSlots, Form::kDense);
  const auto whole = start(options);
  advance(*whole, 21);

  // Before the first step, inside an epoch, between two, after the last step.
  const auto stop = GENERATE(0, 3, 7, 16, 21);
  CAPTURE(options.paths, stop);
  const auto first = start(options);
  advance(*first, stop);
  first->save(folder / "run.pt");
  torch::manual_seed(12345);  // another process would have other numbers
  torch::rand({100});
  const auto second = start(options);
  second->resume(folder / "run.pt");
  CHECK(second->position().step == stop);
  CHECK(same_weights(*first, *second));
  advance(*second, 21 - stop);
  CHECK(same_weights(*whole, *second));
}

TEST_CASE(
    "TrainingRun: a run goes on in the other form with the same weights and "
    "momentum",
    "[cifar10]") {
  const test::TemporaryFolder folder;
  auto options = small();
  options.paths = 3;
  const auto from = GENERATE(Form::kSlots, Form::kDense);
  const auto to = from == Form::kSlots ? Form::kDense : Form::kSlots;
  const auto stop = GENERATE(0, 2, 9);
  CAPTURE(from == Form::kSlots, stop);
  options.form = from;
  const auto first = start(options);
  advance(*first, stop);
  first->save(folder / "run.pt");

  options.form = to;
  torch::manual_seed(12345);
  const auto second = start(options);
  second->resume(folder / "run.pt");
  CHECK(second->position().step == stop);
  CHECK(difference(*first, *second) == 0);

  const auto images = torch::rand({4, 3, 32, 32});
  for (std::uint64_t i = 0; i < 3; ++i) {
    for (auto* run : {first.get(), second.get()}) {
      run->space().apply(run->space().at(i));
    }
    const torch::NoGradGuard no_grad;
    CHECK(
        largest_difference(
            first->net()->forward(images), second->net()->forward(images)) <
        1e-6);
  }

  // The open path's step needs its momentum; closed ones differ by design.
  advance(*first, 1);
  advance(*second, 1);
  CHECK(difference(*first, *second, open_path(*first)) < 1e-6);
  advance(*second, 20 - stop);
  CHECK(second->finished());
}

TEST_CASE("TrainingRun: a resumed epoch has the same loss", "[cifar10]") {
  const test::TemporaryFolder folder;
  const auto run = start(small());
  advance(*run, 3);
  run->save(folder / "run.pt");
  const auto resumed = start(small());
  resumed->resume(folder / "run.pt");
  for (auto* each : {run.get(), resumed.get()}) {
    while (!each->at_epoch_end()) {
      each->step();
    }
  }
  CHECK(run->end_epoch().loss == resumed->end_epoch().loss);
}

TEST_CASE(
    "TrainingRun: a checkpoint of another run is refused, and nothing changes",
    "[cifar10][error]") {
  const test::TemporaryFolder folder;
  const auto file = folder / "run.pt";
  const auto saved = start(small());
  advance(*saved, 3);
  saved->save(file);
  const auto bytes = read_file(file);

  const auto refused = [&](const Options& options) {
    const auto run = start(options);
    const auto before = start(options);
    auto message = message_of<c10::Error>([&] { run->resume(file); });
    CHECK(same_weights(*run, *before));
    CHECK(run->position().step == 0);
    CHECK(read_file(file) == bytes);
    return message;
  };
  const auto prefix = "checkpoint '" + file.string() + "' is of another run: ";
  auto options = small();

  SECTION("another batch size") {
    options.batch_size = 8;
    CHECK(refused(options) == prefix + "expected --batch-size 8, got 16");
  }
  SECTION("another rate and seed") {
    options.lr = 0.5;
    options.seed = 3;
    CHECK(
        refused(options) ==
        prefix + "expected --lr 0.5, got 0.04; expected --seed 3, got 0");
  }
  SECTION("another net") {
    options.paths = 3;
    options.width = 2;
    CHECK_THAT(
        refused(options),
        StartsWith(
            prefix + "expected --paths 3, got 2; expected --width 2, "
                     "got 1; expected path space "));
  }
  SECTION("other images") {
    options.data.limit = 101;
    CHECK_THAT(
        refused(options),
        StartsWith(prefix + "expected training images 101, got 100; "));
  }
}

TEST_CASE(
    "TrainingRun: a file that is no whole checkpoint is refused",
    "[cifar10][error]") {
  const test::TemporaryFolder folder;
  const auto file = folder / "run.pt";
  const auto run = start(small());
  const auto before = start(small());
  run->save(file);
  const auto prefix = "checkpoint '" + file.string() +
                      "': expected a whole checkpoint of this program, got ";

  SECTION("none") {
    test::fs::remove(file);
    CHECK(message_of<c10::Error>([&] {
            run->resume(file);
          }) == prefix + "no such file");
  }
  SECTION("cut short") {
    const auto size = test::fs::file_size(file);
    const auto left = GENERATE_COPY(size - 1, size / 2, std::uintmax_t{0});
    test::fs::resize_file(file, left);
    CHECK_THAT(
        message_of<c10::Error>([&] { run->resume(file); }),
        StartsWith(
            prefix + std::to_string(left) +
            " bytes that cannot be "
            "read ("));
    CHECK(test::fs::file_size(file) == left);
  }
  SECTION("something else") {
    write_file(file, std::string(1000, 'x'));
    CHECK_THAT(
        message_of<c10::Error>([&] { run->resume(file); }),
        StartsWith(prefix + "1000 bytes that cannot be read ("));
  }
  SECTION("another program's archive") {
    torch::save(torch::zeros({2}), file.string());
    CHECK(
        message_of<c10::Error>([&] { run->resume(file); }) ==
        "checkpoint '" + file.string() +
            "': expected the format 'gatedpaths cifar10 run 2', got ''");
  }
  CHECK(same_weights(*run, *before));
}

TEST_CASE(
    "TrainingRun: a save that fails leaves the old checkpoint",
    "[cifar10][error]") {
  const test::TemporaryFolder folder;
  const auto run = start(small());
  CHECK_THAT(
      message_of<c10::Error>(
          [&] { require_checkpoint_folder(folder / "none" / "run.pt"); }),
      ContainsSubstring("expected a folder that can be written, got '") &&
          EndsWith("': No such file or directory"));
  CHECK_THAT(
      message_of<c10::Error>([&] { require_checkpoint_folder(folder.path()); }),
      EndsWith("expected the name of a file, got that of a folder"));
  CHECK_NOTHROW(require_checkpoint_folder(folder / "run.pt"));
  test::fs::create_symlink("loop.pt", folder / "loop.pt");
  CHECK(
      message_of<c10::Error>(
          [&] { require_checkpoint_folder(folder / "loop.pt"); }) ==
      "checkpoint '" + (folder / "loop.pt").string() +
          "': expected the name of a file, got Too many levels of symbolic "
          "links");
  CHECK_THROWS_AS(run->save(folder / "none" / "run.pt"), c10::Error);
}

}  // namespace cifar10
