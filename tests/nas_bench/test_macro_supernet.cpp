// SPDX-License-Identifier: MIT
#include "nas_bench_macro/supernet.hpp"

#include "small_macro_run.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"

#include <torch/types.h>

#include <limits>
#include <memory>
#include <string>

namespace nas_bench_macro {

namespace test = gatedpaths::test;
namespace {

std::unique_ptr<Supernet> make_supernet(const Options& options) {
  return std::make_unique<Supernet>(options, small_images(options));
}

bool same_weights(Supernet& a, Supernet& b) {
  const auto parameters = b.net()->named_parameters();
  const auto buffers = b.net()->named_buffers();
  bool same = true;
  for (const auto& item : a.net()->named_parameters()) {
    same = same && torch::equal(item.value(), parameters[item.key()]);
  }
  for (const auto& item : a.net()->named_buffers()) {
    same = same && torch::equal(item.value(), buffers[item.key()]);
  }
  return same;
}

/// Sampler or estimator.
Options of_source(const std::string& name) {
  auto options = small_options();
  const bool is_sampler =
      name == "fair" || name == "uniform" || name == "sandwich";
  (is_sampler ? options.sampler : options.estimator) = name;
  return options;
}

}  // namespace

TEST_CASE("NAS-Bench-Macro: a resumed supernet goes on with the same bits") {
  const auto* name = GENERATE(
      "fair",
      "uniform",
      "sandwich",
      "two-path",
      "reinforce",
      "gumbel",
      "mixture");
  CAPTURE(name);
  const test::TemporaryFolder folder;
  const auto options = of_source(name);
  const auto whole = make_supernet(options);
  while (!whole->finished()) {
    whole->step();
  }
  CHECK(std::isfinite(whole->loss()));

  auto stopped = make_supernet(options);
  for (int i = 0; i < 5; ++i) {  // in the second epoch
    stopped->step();
  }
  stopped->save(folder / "supernet.pt");
  torch::manual_seed(99);
  const auto resumed = make_supernet(options);
  resumed->resume(folder / "supernet.pt");
  CHECK(resumed->steps_done() == 5);
  CHECK(same_weights(*resumed, *stopped));
  while (!resumed->finished()) {
    resumed->step();
  }
  CHECK(resumed->loss() == whole->loss());
  CHECK(same_weights(*resumed, *whole));
  CHECK(resumed->learned() == whole->learned());
  CHECK(whole->learned().has_value() != options.estimator.empty());
}

TEST_CASE("NAS-Bench-Macro: a supernet of another run is refused", "[error]") {
  const test::TemporaryFolder folder;
  const auto file = folder / "supernet.pt";
  const auto saved = make_supernet(small_options());
  saved->step();
  saved->save(file);
  auto options = small_options();
  options.lr = 0.01;
  options.sampler = "uniform";
  const auto other = make_supernet(options);
  const auto before = other->net()->parameters()[0].clone();
  CHECK(
      test::message_of<c10::ValueError>([&] { other->resume(file); }) ==
      "checkpoint '" + file.string() +
          "' is of another run: expected --lr 0.01, got 0.05; expected "
          "--sampler \"uniform\", got \"fair\"");
  CHECK(torch::equal(other->net()->parameters()[0], before));
  CHECK(other->steps_done() == 0);

  auto bytes = test::read_file(file);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  test::write_file(file, bytes);
  CHECK_THROWS_AS(
      make_supernet(small_options())->resume(file), c10::ValueError);
}

TEST_CASE("NAS-Bench-Macro: a training that diverges ends", "[error]") {
  auto options = small_options();
  options.lr = 1e30;
  const auto supernet = make_supernet(options);
  const auto message = test::message_of<c10::Error>([&] {
    while (!supernet->finished()) {
      supernet->step();
    }
  });
  CHECK(message.find("expected a finite loss, got ") != std::string::npos);
}

}  // namespace nas_bench_macro
