// SPDX-License-Identifier: MIT
#include "supernet.hpp"

#include "augmentation.hpp"
#include "checkpoint_file.hpp"
#include "checksum.hpp"
#include "momentum.hpp"
#include "path_sources.hpp"

#include <gatedpaths/exchange/checkpoint.hpp>
#include <gatedpaths/gates/stream_seed.hpp>

#include <c10/util/Exception.h>
#include <torch/nn/functional/loss.h>
#include <torch/serialize/archive.h>
#include <torch/utils.h>

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>

namespace nas_bench_macro {
namespace {

namespace gp = gatedpaths;

using cifar10::Json;
using torch::serialize::InputArchive;
using torch::serialize::OutputArchive;

constexpr auto kFormat = "gatedpaths nas_bench_macro supernet 1";
constexpr double kArchitectureLr = 0.001;  // Adam's, as ProxylessNAS has it
constexpr double kLossMemory = 0.99;

Net seeded_net(const Options& options) {
  torch::manual_seed(options.seed);
  Net net(NetOptions{.width = options.scale.width});
  net->to(torch::Device(options.device));
  return net;
}

void to_device(cifar10::Images& images, const torch::Device& device) {
  images.pixels = images.pixels.to(device);
  images.labels = images.labels.to(device);
}

SearchImages on_device(SearchImages images, const torch::Device& device) {
  for (auto* part :
       {&images.train, &images.architecture, &images.held_out, &images.test}) {
    to_device(*part, device);
  }
  return images;
}

/// A number that another set of images, or another order, does not have.
std::string fingerprint(const torch::Tensor& labels) {
  const auto values = labels.cpu().contiguous();
  cifar10::Fnv1a hash;
  hash.add(values.const_data_ptr(), values.nbytes());
  return hash.text();
}

InputArchive read_part(
    const std::filesystem::path& file, InputArchive& archive, const char* key) {
  InputArchive part;
  TORCH_CHECK_VALUE(
      archive.try_read(key, part),
      cifar10::in_quotes(file),
      ": expected '",
      key,
      "' in it, got none");
  return part;
}

}  // namespace

Supernet::Supernet(const Options& options, SearchImages images)
    : options_(options),
      images_(on_device(std::move(images), torch::Device(options.device))),
      steps_per_epoch_(
          cifar10::batch_count(images_.train.size(), options.batch_size)),
      net_(seeded_net(options)),
      space_(*net_),
      optimizer_(
          net_->parameters(),
          torch::optim::SGDOptions(options.lr)
              .momentum(options.momentum)
              .nesterov(options.momentum > 0)
              .weight_decay(options.weight_decay)),
      open_optimizer_(net_.ptr(), space_, optimizer_) {
  net_->train();
  if (options.estimator.empty()) {
    sampler_ = make_sampler(options.sampler, space_, options.seed);
    return;
  }
  logits_ = gp::PathLogits(space_);
  logits_->to(torch::Device(options.device));
  estimator_ = make_estimator(options.estimator, logits_, space_, options.seed);
  architecture_ = std::make_unique<torch::optim::Adam>(
      logits_->parameters(),
      torch::optim::AdamOptions(kArchitectureLr).betas({0, 0.999}));
}

std::int64_t Supernet::total_steps() const {
  return options_.scale.epochs * steps_per_epoch_;
}

double Supernet::lr() const {
  const auto part =
      static_cast<double>(step_) / static_cast<double>(total_steps());
  return options_.lr * (1 + std::cos(std::numbers::pi * part)) / 2;
}

cifar10::Batch Supernet::next_batch(
    const cifar10::Images& images, std::int64_t step) {
  const auto count = cifar10::batch_count(images.size(), options_.batch_size);
  const auto epoch = step / count;
  const bool is_train = &images == &images_.train;
  const auto seed = is_train
                        ? options_.seed
                        : gp::stream_seed(options_.seed, "architecture images");
  auto order = order_;
  if (!is_train || epoch != order_epoch_) {
    order = cifar10::epoch_order(images.size(), seed, epoch)
                .to(images.labels.device());
  }
  if (is_train) {
    order_ = order;
    order_epoch_ = epoch;
  }
  const auto [begin, end] =
      cifar10::batch_range(step % count, images.size(), options_.batch_size);
  auto batch = cifar10::make_batch(images, order.slice(0, begin, end));
  if (options_.augment) {
    batch.images = augmented(batch.images, seed, step);
  }
  batch.images = resized(batch.images, options_.scale.side);
  return batch;
}

torch::Tensor Supernet::loss_of(const cifar10::Batch& batch) {
  auto loss = torch::nn::functional::cross_entropy(
      net_->forward(batch.images), batch.labels);
  TORCH_CHECK(
      std::isfinite(loss.item<double>()),  // waits for the device
      fmt::format(
          "step {}: expected a finite loss, got {} (a smaller --lr may help)",
          step_ + 1,
          loss.item<double>()));
  return loss;
}

void Supernet::step_weights() {
  const auto batch = next_batch(images_.train, step_);
  open_optimizer_.apply(
      estimator_ == nullptr ? sampler_->next() : estimator_->apply_plain());
  static_cast<torch::optim::SGDOptions&>(optimizer_.param_groups()[0].options())
      .lr(lr());
  open_optimizer_.zero_grad();
  auto loss = loss_of(batch);
  loss.backward();
  open_optimizer_.step();
  const auto value = loss.item<double>();
  loss_ = step_ == 0 ? value : kLossMemory * loss_ + (1 - kLossMemory) * value;
}

void Supernet::step_architecture() {
  const auto batch = next_batch(images_.architecture, step_);
  open_optimizer_.apply(estimator_->apply());
  architecture_->zero_grad();
  estimator_->objective(loss_of(batch)).backward();
  architecture_->step();
  estimator_->finish_step();
}

void Supernet::step() {
  const auto start = std::chrono::steady_clock::now();
  step_weights();
  if (estimator_ != nullptr) {
    step_architecture();
  }
  ++step_;
  seconds_ +=
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
}

Json Supernet::settings() const {
  Json settings{
      {"--width", options_.scale.width},
      {"--side", options_.scale.side},
      {"--epochs", options_.scale.epochs},
      {"--batch-size", options_.batch_size},
      {"--lr", options_.lr},
      {"--momentum", options_.momentum},
      {"--weight-decay", options_.weight_decay},
      {"--augment", options_.augment ? "yes" : "no"},
      {"--seed", options_.seed},
      {"training images", images_.train.size()},
      {"their labels' hash", fingerprint(images_.train.labels)},
      {"path space", fmt::format("{:016x}", space_.hash())}};
  if (estimator_ == nullptr) {
    settings["--sampler"] = options_.sampler;
  } else {
    settings["--estimator"] = options_.estimator;
  }
  return settings;
}

void Supernet::save(const std::filesystem::path& file) const {
  OutputArchive archive;
  archive.write("format", c10::IValue(std::string(kFormat)));
  archive.write("settings", c10::IValue(settings().dump()));
  archive.write("step", c10::IValue(step_));
  archive.write("loss", c10::IValue(loss_));
  archive.write("seconds", c10::IValue(seconds_));
  OutputArchive net(archive.compilation_unit());
  net_->save(net);
  archive.write("net", net);
  OutputArchive momentum(archive.compilation_unit());
  auto& optimizer = const_cast<torch::optim::SGD&>(optimizer_);
  for (const auto& item : cifar10::momentum_of(*net_, optimizer)) {
    momentum.write(item.key(), item.value(), /*is_buffer=*/true);
  }
  archive.write("momentum", momentum);
  if (estimator_ != nullptr) {
    OutputArchive estimator(archive.compilation_unit());
    estimator_->save(estimator);
    archive.write("estimator", estimator);
    OutputArchive adam(archive.compilation_unit());
    architecture_->save(adam);
    archive.write("architecture", adam);
  }
  cifar10::save_checked(file, archive);
}

void Supernet::resume(const std::filesystem::path& file) {
  auto archive = cifar10::open_checked(file, kFormat);
  cifar10::check_settings(
      cifar10::in_quotes(file) + " is of another run",
      cifar10::read_settings(file, archive),
      settings());
  c10::IValue step;
  c10::IValue loss;
  c10::IValue seconds;
  TORCH_CHECK_VALUE(
      archive.try_read("step", step) && step.isInt() && step.toInt() >= 0 &&
          step.toInt() <= total_steps() && archive.try_read("loss", loss) &&
          loss.isDouble() && archive.try_read("seconds", seconds) &&
          seconds.isDouble(),
      cifar10::in_quotes(file),
      ": expected a step of at most ",
      total_steps(),
      ", its loss and its seconds, got others");
  auto net = read_part(file, archive, "net");
  auto momentum_part = read_part(file, archive, "momentum");
  const auto momentum = cifar10::read_momentum(*net_, momentum_part);
  gp::load_checked(*net_, net);
  cifar10::set_momentum(*net_, optimizer_, momentum);
  if (estimator_ != nullptr) {
    auto estimator = read_part(file, archive, "estimator");
    estimator_->load(estimator);
    auto adam = read_part(file, archive, "architecture");
    architecture_->load(adam);
  }
  step_ = step.toInt();
  loss_ = loss.toDouble();
  seconds_ = seconds.toDouble();
  if (sampler_ != nullptr) {
    sampler_->set_step(static_cast<std::uint64_t>(step_));
  }
}

std::optional<gp::Path> Supernet::learned() const {
  return estimator_ == nullptr ? std::nullopt
                               : std::optional(logits_->most_probable());
}

}  // namespace nas_bench_macro
