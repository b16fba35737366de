// SPDX-License-Identifier: MIT
#include "stand_in.hpp"

#include "counter_random.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

namespace cifar10 {
namespace {

constexpr std::uint64_t kSeed = 10;

/// Where and how large a shape is drawn.
struct Placement {
  float x;
  float y;
  float size;
};

float wave(float position, float size) {
  return std::sin(position * 6.2831853F / size) > 0.0F ? 1.0F : 0.0F;
}

float inside(bool condition) { return condition ? 1.0F : 0.0F; }

/// How much of the pixel (x, y) belongs to the shape of the class.
float coverage(std::size_t label, float x, float y, const Placement& at) {
  const float dx = x - at.x;
  const float dy = y - at.y;
  const float distance = std::hypot(dx, dy);
  const float reach = std::max(std::abs(dx), std::abs(dy));
  const float period = at.size * 0.6F;
  switch (label) {
    case 0:
      return inside(distance < at.size);
    case 1:
      return inside(reach < at.size * 0.9F);
    case 2:
      return inside(distance < at.size && distance > at.size * 0.6F);
    case 3:
      return inside(reach < at.size * 0.9F && reach > at.size * 0.55F);
    case 4:
      return inside(
          reach < at.size &&
          std::min(std::abs(dx), std::abs(dy)) < at.size * 0.3F);
    case 5:
      return wave(dy, period);
    case 6:
      return wave(dx, period);
    case 7:
      return wave((dx + dy) * 0.7071F, period);
    case 8:
      return wave((dx - dy) * 0.7071F, period);
    default:
      return wave(dx, at.size) == wave(dy, at.size) ? 1.0F : 0.0F;
  }
}

using Colour = std::array<float, 3>;

/// Two colours that differ by enough in one channel to see the shape.
std::array<Colour, 2> two_colours(CounterRandom& random) {
  std::array<Colour, 2> colours{};
  for (auto& colour : colours) {
    for (auto& channel : colour) {
      channel = random.between(30.0F, 226.0F);
    }
  }
  const auto channel = random.below(3);
  const bool swap = random.below(2) == 1;
  colours[swap ? 1 : 0][channel] = random.between(10.0F, 90.0F);
  colours[swap ? 0 : 1][channel] = random.between(150.0F, 246.0F);
  return colours;
}

void draw(std::span<std::uint8_t> record, CounterRandom random) {
  const auto label = random.below(kClasses);
  const Placement at{
      random.between(11.0F, 21.0F),
      random.between(11.0F, 21.0F),
      random.between(7.0F, 11.0F)};
  const auto colours = two_colours(random);
  record[0] = static_cast<std::uint8_t>(label);
  std::size_t position = 1;
  std::array<float, kPixelBytes / 3> shape{};
  for (std::size_t i = 0; i < shape.size(); ++i) {
    shape[i] = coverage(
        label,
        static_cast<float>(i % kSide),
        static_cast<float>(i / kSide),
        at);
  }
  for (std::size_t channel = 0; channel < 3; ++channel) {
    for (const float share : shape) {
      const float value = colours[0][channel] * (1.0F - share) +
                          colours[1][channel] * share +
                          random.between(-24.0F, 24.0F);
      record[position++] =
          static_cast<std::uint8_t>(std::clamp(value, 0.0F, 255.0F));
    }
  }
}

}  // namespace

std::vector<std::uint8_t> stand_in_records(bool train, std::size_t count) {
  std::vector<std::uint8_t> records(count * kRecordBytes);
  for (std::size_t i = 0; i < count; ++i) {
    draw(
        std::span(records).subspan(i * kRecordBytes, kRecordBytes),
        CounterRandom(kSeed + (train ? 0U : 1U), i));
  }
  return records;
}

ClassNames stand_in_class_names() {
  return {
      "disc",
      "square",
      "ring",
      "frame",
      "cross",
      "rows",
      "columns",
      "rising",
      "falling",
      "checkers"};
}

Dataset stand_in_dataset(std::int64_t limit) {
  const auto images = [limit](bool train, std::size_t all) {
    const auto count =
        limit > 0 ? std::min(all, static_cast<std::size_t>(limit)) : all;
    return decode_records(
        stand_in_records(train, count),
        train ? "stand-in training set" : "stand-in test set");
  };
  return {
      .train = images(true, kTrainFiles * kRecordsPerFile),
      .test = images(false, kRecordsPerFile),
      .class_names = stand_in_class_names(),
      .description = "a generated stand-in",
      .is_stand_in = true};
}

}  // namespace cifar10
