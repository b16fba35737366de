// SPDX-License-Identifier: MIT
#include "nas_bench_macro/augmentation.hpp"
#include "nas_bench_macro/search_images.hpp"
#include "small_macro_run.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"

#include <torch/types.h>

#include <cstdint>
#include <set>
#include <string>

namespace nas_bench_macro {

namespace test = gatedpaths::test;

TEST_CASE("NAS-Bench-Macro: no image has two uses") {
  auto options = small_options();
  const auto all = cifar10::stand_in_dataset(kSmallImages);
  for (const auto* estimator : {"", "gumbel"}) {
    options.estimator = estimator;
    const auto images = small_images(options);
    CHECK(images.held_out.size() == 10);
    CHECK(images.architecture.size() == (options.estimator.empty() ? 0 : 5));
    CHECK(images.test.size() == kSmallImages);
    const auto joined = torch::cat(
        {images.train.pixels,
         images.architecture.pixels,
         images.held_out.pixels});
    CHECK(torch::equal(joined, all.train.pixels));
  }
}

TEST_CASE("NAS-Bench-Macro: too few images are refused", "[error]") {
  auto options = small_options();
  const auto refusal = [&] {
    return test::message_of<c10::ValueError>(
        [&] { static_cast<void>(small_images(options)); });
  };
  options.scale.held_out = 44;
  CHECK(refusal() == "(no error)");
  options.scale.held_out = 45;
  CHECK(
      refusal() ==
      "expected more images than 45 held out, with a batch of 16 and 8 for "
      "batch norm among the rest, got 60");
  options.scale.held_out = 44;
  options.scale.recalibration = 17;
  CHECK(refusal().starts_with("expected more images than 44 held out"));
}

TEST_CASE("NAS-Bench-Macro: smaller images are means of squares") {
  const auto images = torch::rand({3, 3, 32, 32});
  CHECK(torch::equal(resized(images, 32), images));
  const auto small = resized(images, 8);
  CHECK(small.sizes() == c10::IntArrayRef({3, 3, 8, 8}));
  CHECK(small.is_contiguous(torch::MemoryFormat::ChannelsLast));
  const auto square = images[1][2].narrow(0, 4, 4).narrow(1, 12, 4).mean();
  CHECK(torch::allclose(small[1][2][1][3], square));
}

TEST_CASE("NAS-Bench-Macro: images are mirrored and moved, with zeros") {
  constexpr std::int64_t kImages = 400;
  const auto image = torch::rand({1, 8, 8}) + 1;
  const auto images = image.expand({kImages, 1, 8, 8});
  const auto out = augmented(images, /*seed=*/4, /*step=*/7);
  CHECK(torch::equal(out, augmented(images, 4, 7)));
  CHECK_FALSE(torch::equal(out, augmented(images, 4, 8)));
  CHECK_FALSE(torch::equal(out, augmented(images, 5, 7)));

  // Each is one of the 3 x 3 places, mirrored or not, and all of them come.
  std::set<std::string> seen;
  for (std::int64_t i = 0; i < kImages; ++i) {
    for (const bool mirrored : {false, true}) {
      const auto of = mirrored ? out[i].flip(2) : out[i];
      for (std::int64_t down = -1; down <= 1; ++down) {
        for (std::int64_t right = -1; right <= 1; ++right) {
          auto moved = torch::zeros({1, 10, 10});
          moved.narrow(1, 1, 8).narrow(2, 1, 8).copy_(image);
          if (torch::equal(
                  of, moved.narrow(1, 1 + down, 8).narrow(2, 1 + right, 8))) {
            seen.insert(
                std::to_string(down) + std::to_string(right) +
                (mirrored ? "m" : ""));
          }
        }
      }
    }
  }
  CHECK(seen.size() == 18);
}

}  // namespace nas_bench_macro
