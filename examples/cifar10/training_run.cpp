// SPDX-License-Identifier: MIT
#include "training_run.hpp"

#include "batches.hpp"
#include "checksum.hpp"

#include <ATen/CPUGeneratorImpl.h>
#include <c10/util/Exception.h>
#include <torch/nn/functional/loss.h>

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <utility>

namespace cifar10 {
namespace {

Dataset on_device(Dataset data, const torch::Device& device) {
  for (auto* images : {&data.train, &data.test}) {
    images->pixels = images->pixels.to(device);
    images->labels = images->labels.to(device);
  }
  return data;
}

/// A number that another set of images, or another order, does not have.
std::string fingerprint(const torch::Tensor& labels) {
  const auto values = labels.cpu().contiguous();
  Fnv1a hash;
  hash.add(values.const_data_ptr(), values.nbytes());
  return hash.text();
}

/// Where the run is, at the start of a message. Both are counted from 1.
std::string place(std::int64_t epoch, std::int64_t step) {
  return fmt::format("epoch {}, step {}: ", epoch, step);
}

/// A name that no other run has.
std::string new_name() {
  auto generator = at::make_generator<at::CPUGeneratorImpl>();
  return fmt::format("{:016x}", generator.seed());  // not of any --seed
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
      .count();
}

}  // namespace

TrainingRun::TrainingRun(const Options& options, Dataset data)
    : TrainingRun(options, std::move(data), make_first_net(options)) {}

TrainingRun::TrainingRun(const Options& options, Dataset data, FirstNet first)
    : options_(options),
      data_(on_device(std::move(data), torch::Device(options.device))),
      steps_per_epoch_(batch_count(data_.train.size(), options.batch_size)),
      net_settings_(std::move(first.settings)),
      net_(std::move(first.net)),
      space_(*net_),
      sampler_(space_, options.seed),
      optimizer_(
          net_->parameters(),
          torch::optim::SGDOptions(options.lr)
              .momentum(options.momentum)
              .weight_decay(options.weight_decay)),
      open_optimizer_(net_.ptr(), space_, optimizer_) {
  position_.run = new_name();
  net_->train();
  shuffle();
}

void TrainingRun::step() {
  const auto start = std::chrono::steady_clock::now();
  const auto [begin, end] =
      batch_range(position_.batch, data_.train.size(), options_.batch_size);
  const auto batch = make_batch(data_.train, order_.slice(0, begin, end));

  open_optimizer_.apply(sampler_.next());
  static_cast<torch::optim::SGDOptions&>(optimizer_.param_groups()[0].options())
      .lr(lr());
  open_optimizer_.zero_grad();
  auto loss = torch::nn::functional::cross_entropy(
      net_->forward(batch.images), batch.labels);
  const auto value = loss.item<double>();  // waits for the device
  TORCH_CHECK(
      std::isfinite(value),
      place(position_.epoch + 1, position_.step + 1),
      "expected a finite loss, got ",
      std::isnan(value) ? "nan" : "inf",
      " (a smaller --lr may help)");
  loss.backward();
  open_optimizer_.step();

  position_.loss_sum += value;
  ++position_.batch;
  ++position_.step;
  position_.seconds += seconds_since(start);
}

bool TrainingRun::at_epoch_end() const {
  return position_.batch == steps_per_epoch_;
}

EpochSummary TrainingRun::end_epoch() {
  const auto start = std::chrono::steady_clock::now();
  require_finite_weights();
  ++position_.epoch;
  const EpochSummary summary{
      .epoch = position_.epoch,
      .steps = position_.batch,
      .loss = mean_loss(),
      .lr = static_cast<torch::optim::SGDOptions&>(
                optimizer_.param_groups()[0].options())
                .lr(),
      .seconds = position_.seconds + seconds_since(start)};
  position_.batch = 0;
  position_.seconds = 0;
  position_.loss_sum = 0;
  shuffle();
  return summary;
}

std::vector<PathAccuracy> TrainingRun::test() {
  return test_paths(net_, space_, data_.test);
}

void TrainingRun::save(const std::filesystem::path& file) {
  require_finite_weights();
  save_run(file, *net_, optimizer_, position_, settings());
}

void TrainingRun::resume(const std::filesystem::path& file) {
  position_ = load_run(
      file,
      *net_,
      optimizer_,
      settings(),
      {.epochs = options_.epochs, .steps_per_epoch = steps_per_epoch_});
  sampler_.set_step(static_cast<std::uint64_t>(position_.step));
  shuffle();
}

double TrainingRun::mean_loss() const {
  return position_.loss_sum / static_cast<double>(position_.batch);
}

double TrainingRun::lr() const {
  return options_.lr * (1.0 - static_cast<double>(position_.step) /
                                  static_cast<double>(total_steps()));
}

Json TrainingRun::settings() const {
  auto settings = net_settings_;
  settings.update(Json{
      {"--epochs", options_.epochs},
      {"--batch-size", options_.batch_size},
      {"--lr", options_.lr},
      {"--momentum", options_.momentum},
      {"--weight-decay", options_.weight_decay},
      {"--seed", options_.seed},
      {"training images", data_.train.size()},
      {"their labels' hash", fingerprint(data_.train.labels)}});
  return settings;
}

void TrainingRun::require_finite_weights() const {
  for (const auto& item : net_->named_parameters()) {
    TORCH_CHECK(
        item.value().isfinite().all().item<bool>(),
        place(position_.epoch + 1, position_.step),
        "expected finite weights, got inf or nan in '",
        item.key(),
        "' (a smaller --lr may help)");
  }
}

void TrainingRun::shuffle() {
  order_ = epoch_order(data_.train.size(), options_.seed, position_.epoch)
               .to(data_.train.labels.device());
}

}  // namespace cifar10
