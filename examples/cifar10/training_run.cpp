// SPDX-License-Identifier: MIT
#include "training_run.hpp"

#include "batches.hpp"

#include <c10/util/Exception.h>
#include <torch/nn/functional/loss.h>
#include <torch/utils.h>

#include <fmt/format.h>

#include <chrono>
#include <utility>

namespace cifar10 {
namespace {

Net make_net(const Options& options) {
  torch::manual_seed(options.seed);
  Net net(NetOptions{options.paths, options.width, options.skip, options.form});
  net->to(torch::Device(options.device));
  return net;
}

Dataset on_device(Dataset data, const torch::Device& device) {
  for (auto* images : {&data.train, &data.test}) {
    images->pixels = images->pixels.to(device);
    images->labels = images->labels.to(device);
  }
  return data;
}

/// A number that another set of images, or another order, does not have: FNV-1a
/// but for taking whole numbers where that takes bytes. Checkpoints hold it.
std::string fingerprint(const torch::Tensor& labels) {
  const auto values = labels.cpu().contiguous();
  std::uint64_t hash = 14695981039346656037U;
  for (std::int64_t i = 0; i < values.size(0); ++i) {
    hash ^= static_cast<std::uint64_t>(values.data_ptr<std::int64_t>()[i]);
    hash *= 1099511628211U;
  }
  return fmt::format("{:016x}", hash);
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
      .count();
}

}  // namespace

TrainingRun::TrainingRun(const Options& options, Dataset data)
    : options_(options),
      data_(on_device(std::move(data), torch::Device(options.device))),
      steps_per_epoch_(batch_count(data_.train.size(), options.batch_size)),
      net_(make_net(options)),
      space_(*net_),
      sampler_(space_, options.seed),
      optimizer_(
          net_->parameters(),
          torch::optim::SGDOptions(options.lr)
              .momentum(options.momentum)
              .weight_decay(options.weight_decay)),
      open_optimizer_(net_.ptr(), space_, optimizer_),
      loss_sum_(torch::zeros(
          {},
          torch::TensorOptions(torch::kFloat64)
              .device(torch::Device(options.device)))) {
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
  loss.backward();
  open_optimizer_.step();

  loss_sum_ += loss.detach();
  ++position_.batch;
  ++position_.step;
  position_.seconds += seconds_since(start);
}

bool TrainingRun::at_epoch_end() const {
  return position_.batch == steps_per_epoch_;
}

EpochSummary TrainingRun::end_epoch() {
  const auto start = std::chrono::steady_clock::now();
  const auto loss = mean_loss();  // waits for the device
  ++position_.epoch;
  const EpochSummary summary{
      .epoch = position_.epoch,
      .steps = position_.batch,
      .loss = loss,
      .lr = static_cast<torch::optim::SGDOptions&>(
                optimizer_.param_groups()[0].options())
                .lr(),
      .seconds = position_.seconds + seconds_since(start)};
  position_.batch = 0;
  position_.seconds = 0;
  loss_sum_.zero_();
  shuffle();
  return summary;
}

std::vector<PathAccuracy> TrainingRun::test() {
  return test_paths(net_, space_, data_.test);
}

void TrainingRun::save(const std::filesystem::path& file) {
  position_.loss_sum = loss_sum_.item<double>();
  save_run(file, *net_, optimizer_, position_, settings());
}

void TrainingRun::resume(const std::filesystem::path& file) {
  position_ = load_run(file, *net_, optimizer_, settings());
  sampler_.set_step(static_cast<std::uint64_t>(position_.step));
  loss_sum_.fill_(position_.loss_sum);
  shuffle();
}

double TrainingRun::mean_loss() const {
  return loss_sum_.item<double>() / static_cast<double>(position_.batch);
}

double TrainingRun::lr() const {
  return options_.lr * (1.0 - static_cast<double>(position_.step) /
                                  static_cast<double>(total_steps()));
}

Json TrainingRun::settings() const {
  return {
      {"--paths", options_.paths},
      {"--width", options_.width},
      {"path space", fmt::format("{:016x}", space_.hash())},
      {"--epochs", options_.epochs},
      {"--batch-size", options_.batch_size},
      {"--lr", options_.lr},
      {"--momentum", options_.momentum},
      {"--weight-decay", options_.weight_decay},
      {"--seed", options_.seed},
      {"training images", data_.train.size()},
      {"their labels' hash", fingerprint(data_.train.labels)}};
}

void TrainingRun::shuffle() {
  order_ = epoch_order(data_.train.size(), options_.seed, position_.epoch)
               .to(data_.train.labels.device());
}

}  // namespace cifar10
