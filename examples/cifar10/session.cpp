// SPDX-License-Identifier: MIT
#include "session.hpp"

#include "data_source.hpp"
#include "device.hpp"
#include "file_lock.hpp"
#include "first_net.hpp"
#include "interrupt.hpp"
#include "link_target.hpp"
#include "metrics.hpp"
#include "output.hpp"
#include "progress.hpp"
#include "tables.hpp"
#include "training_run.hpp"

#include <ATen/Parallel.h>
#include <c10/util/Exception.h>
#include <torch/version.h>

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

namespace cifar10 {
namespace {

constexpr auto kStandInNote =
    "No CIFAR-10 here: training on a generated stand-in of ten drawn shapes.\n"
    "For the real images, add --download (170 MB, kept for later runs), or\n"
    "--data DIR where you have the binary files.\n";

constexpr auto kNoLocksNote =
    "This file system has no locks: see to it yourself that no other run "
    "writes\n"
    "the same files.\n";

/// The files that a run writes, each kept from other runs.
struct Locks {
  explicit Locks(const Options& options) {
    if (!options.checkpoint.empty()) {
      checkpoint.emplace("--checkpoint", options.checkpoint);
    }
    if (!options.metrics.empty() && can_be_locked(options.metrics)) {
      metrics.emplace("--metrics", options.metrics);
    }
    if ((checkpoint && !checkpoint->works()) ||
        (metrics && !metrics->works())) {
      write_out(stdout, kNoLocksNote);
    }
  }

  /// Not a pipe, nor a file that is there in a folder where none can be made.
  static bool can_be_locked(const std::filesystem::path& file) {
    std::error_code error;
    const auto kind = std::filesystem::status(file, error).type();
    return (kind == std::filesystem::file_type::regular ||
            kind == std::filesystem::file_type::not_found) &&
           ::access(folder_of(link_target(file)).c_str(), W_OK | X_OK) == 0;
  }

  std::optional<FileLock> checkpoint{};
  std::optional<FileLock> metrics{};
};

bool has_content(const std::filesystem::path& file) {
  std::error_code error;
  return std::filesystem::is_regular_file(file, error) &&
         std::filesystem::file_size(file, error) > 0 && !error;
}

/// Throws where a new run would replace what another one has left.
void require_no_old_run(const Options& options) {
  if (options.resume || options.overwrite) {
    return;
  }
  TORCH_CHECK_VALUE(
      !has_content(options.checkpoint),
      "--checkpoint: expected the name of a new file, got '",
      options.checkpoint.string(),
      "', which is there already; add --resume to go on with the run in it, or "
      "--overwrite to replace it");
  TORCH_CHECK_VALUE(
      !has_content(options.metrics),
      "--metrics: expected the name of a new file, got '",
      options.metrics.string(),
      "', which is there already; add --overwrite to replace it, or --resume "
      "(with --checkpoint) to go on with its run");
}

std::int64_t count_parameters(const Net& net) {
  std::int64_t count = 0;
  for (const auto& parameter : net->parameters()) {
    count += parameter.numel();
  }
  return count;
}

/// Where the weights of the one path came from when its run began.
std::string origin_of(const Options& options) {
  return options.derive.empty()
             ? fmt::format("fresh ones of seed {}", options.seed)
             : fmt::format("those it has in {}", options.derive.string());
}

const char* form_name(Form form) {
  return form == Form::kSlots ? "slots" : "dense";
}

/// The steps that this process has made, and the time they took.
struct Pace {
  std::int64_t steps = 0;
  double seconds = 0;

  double ms_per_step() const {
    return steps > 0 ? 1000.0 * seconds / static_cast<double>(steps) : 0.0;
  }
};

class Session {
 public:
  Session(const Options& options, Dataset data, FirstNet first, Locks& locks)
      : options_(options),
        locks_(locks),
        supernet_checksum_(first.inherited),
        run_(options, std::move(data), std::move(first)),
        progress_(stdout) {}

  int train(const std::string& command);

 private:
  void open_metrics();
  void announce();
  void write_start();
  bool train_epoch();  // false: interrupted
  void end_epoch();
  void test();
  void save();
  int stop(const std::string& command);
  void finish();
  ProgressState progress_state() const;
  Pace pace() const;

  Options options_;
  Locks& locks_;
  std::string supernet_checksum_;  // of --derive; empty: it was not read
  TrainingRun run_;
  Progress progress_;
  Metrics metrics_;
  std::vector<PathAccuracy> results_;  // of the last test
  Pace done_;                          // in the epochs that are done
  Position resumed_;
};

void Session::open_metrics() {
  if (options_.metrics.empty()) {
    return;
  }
  const auto& position = run_.position();
  metrics_ = options_.resume
                 ? Metrics(options_.metrics, position.epoch, position.run)
                 : Metrics(options_.metrics);
}

void Session::announce() {
  const auto& data = run_.data();
  progress_.line(fmt::format(
      "Images: {} ({} to train on, {} to test).",
      data.description,
      data.train.size(),
      data.test.size()));
  progress_.line(fmt::format(
      "Net: {} of width {}, {} parameters, {}, {}, on {}, {} thread{}.",
      options_.path.empty() ? fmt::format("{} paths", run_.space().size())
                            : fmt::format("the path {} alone,", options_.path),
      options_.width,
      count_parameters(run_.net()),
      options_.skip == gatedpaths::Skip::kZeroFill ? "zero-fill" : "no-grad",
      form_name(options_.form),
      options_.device,
      options_.threads,
      options_.threads == 1 ? "" : "s"));
  if (options_.resume) {
    progress_.line(fmt::format(
        "Resumed from {} at step {} of {}.",
        options_.checkpoint.string(),
        run_.position().step,
        run_.total_steps()));
  } else if (!options_.path.empty()) {
    progress_.line(fmt::format("Its first weights: {}.", origin_of(options_)));
  }
  write_start();
}

void Session::write_start() {
  Json event{
      {"event", "start"},
      {"run", run_.position().run},
      {"epoch", run_.position().epoch},
      {"step", run_.position().step},
      {"epochs", options_.epochs},
      {"data", run_.data().description},
      {"test images", run_.data().test.size()},
      {"settings", run_.settings()},
      {"parameters", count_parameters(run_.net())},
      {"form", form_name(options_.form)},
      {"threads", options_.threads},
      {"device", options_.device},
      {"libtorch", TORCH_VERSION}};
  if (!supernet_checksum_.empty()) {
    event["supernet"] = {
        {"file", options_.derive.string()}, {"checksum", supernet_checksum_}};
  }
  metrics_.write(event);
}

ProgressState Session::progress_state() const {
  const auto& position = run_.position();
  return {
      .epoch = position.epoch + 1,
      .epochs = options_.epochs,
      .step = position.batch,
      .steps = run_.total_steps() / options_.epochs,
      .steps_left = run_.total_steps() - position.step,
      .loss = run_.mean_loss()};
}

bool Session::train_epoch() {
  while (!run_.at_epoch_end()) {
    if (interrupted() != 0) {
      return false;
    }
    run_.step();
    progress_.step([this] { return progress_state(); });
  }
  return true;
}

void Session::end_epoch() {
  const auto summary = run_.end_epoch();
  done_.seconds += summary.seconds;
  done_.steps += summary.steps;
  const auto ms = 1000.0 * summary.seconds / static_cast<double>(summary.steps);
  metrics_.write(
      {{"event", "epoch"},
       {"epoch", summary.epoch},
       {"loss", summary.loss},
       {"lr", summary.lr},
       {"steps", summary.steps},
       {"seconds", summary.seconds},
       {"ms_per_step", ms}});
  auto text = fmt::format(
      "epoch {:{}}/{}: loss {:.4f}, {:.1f} s, {:.2f} ms a step",
      summary.epoch,
      fmt::formatted_size("{}", options_.epochs),
      options_.epochs,
      summary.loss,
      summary.seconds,
      ms);
  if (summary.epoch % options_.test_every == 0 || run_.finished()) {
    test();
    double least = 1;
    double most = 0;
    for (const auto& result : results_) {
      least = std::min(least, result.accuracy);
      most = std::max(most, result.accuracy);
    }
    text += results_.size() == 1
                ? fmt::format(", test {:.1f} %", 100.0 * most)
                : fmt::format(
                      ", test {:.1f} to {:.1f} %", 100.0 * least, 100.0 * most);
  }
  progress_.line(text);
}

void Session::test() {
  results_ = run_.test();
  const auto epoch = run_.position().epoch;
  if (metrics_.has_test(epoch)) {
    return;
  }
  for (const auto& result : results_) {
    Json classes;
    for (std::size_t i = 0; i < kClasses; ++i) {
      classes[run_.data().class_names[i]] = result.classes[i];
    }
    metrics_.write(
        {{"event", "test"},
         {"epoch", epoch},
         {"path", result.path},
         {"accuracy", result.accuracy},
         {"classes", classes}});
  }
}

void Session::save() {
  if (locks_.checkpoint) {
    locks_.checkpoint->renew();
    run_.save(options_.checkpoint);
  }
}

Pace Session::pace() const {
  // An epoch that was resumed brought time and steps of another process along.
  return {
      .steps = done_.steps - resumed_.batch,
      .seconds = done_.seconds - resumed_.seconds};
}

int Session::stop(const std::string& command) {
  save();
  progress_.line(fmt::format(
      "Stopped at step {} of {}.", run_.position().step, run_.total_steps()));
  progress_.line(
      options_.checkpoint.empty()
          ? "Nothing was saved, since there was no --checkpoint."
          : fmt::format(
                "Saved in {}. Go on with:\n  {}{}",
                options_.checkpoint.string(),
                command,
                options_.resume ? "" : " --resume"));
  return 128 + interrupted();
}

void Session::finish() {
  if (results_.empty()) {  // resumed after the last epoch
    test();
  }
  Json accuracy;
  for (const auto& result : results_) {
    accuracy[result.path] = result.accuracy;
  }
  metrics_.write(
      {{"event", "end"},
       {"epoch", run_.position().epoch},
       {"step", run_.position().step},
       {"ms_per_step", pace().ms_per_step()},
       {"accuracy", accuracy}});
  progress_.line("");
  progress_.line(accuracy_table(results_, run_.data().class_names));
  if (pace().steps > 0) {
    progress_.line(fmt::format(
        "{:.2f} ms a step ({} steps in {:.1f} s)",
        pace().ms_per_step(),
        pace().steps,
        pace().seconds));
  }
}

int Session::train(const std::string& command) {
  catch_interrupts();  // before it says that it runs
  if (options_.resume) {
    run_.resume(options_.checkpoint);
    resumed_ = run_.position();
  }
  open_metrics();
  announce();
  while (!run_.finished()) {
    progress_.pause();
    if (!train_epoch()) {
      return stop(command);
    }
    end_epoch();
    save();
  }
  finish();
  return 0;
}

}  // namespace

int run_session(const Options& options, const std::string& command) {
  require_device(options.device);
  if (!options.checkpoint.empty()) {
    require_checkpoint_folder(options.checkpoint);
  }
  // First: what stands in the way of a run may be the files of one under way.
  Locks locks(options);
  require_no_old_run(options);
  at::set_num_threads(static_cast<int>(options.threads));
  auto first = make_first_net(options);  // before any file is made
  if (!options.metrics.empty()) {
    require_writable(options.metrics);
  }
  auto data = load_data(options.data);
  if (data.is_stand_in) {
    write_out(stdout, kStandInNote);
  }
  return Session(options, std::move(data), std::move(first), locks)
      .train(command);
}

}  // namespace cifar10
