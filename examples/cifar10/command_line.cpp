// SPDX-License-Identifier: MIT
#include "command_line.hpp"

#include "flag_checks.hpp"
#include "flags.hpp"

#include <CLI/CLI.hpp>

#include <fmt/format.h>

#include <limits>

namespace cifar10 {
namespace {

constexpr std::uint64_t kMostThreads = 1024;
constexpr std::uint64_t kMost = 1000000;  // products of them fit in 64 bits
constexpr auto kMostSeed = std::numeric_limits<std::uint64_t>::max();

void add_net_flags(CLI::App& app, Options& options) {
  app.add_option(
         "--paths", options.paths, "Parallel paths; one is open in each step")
      ->type_name("N")
      ->group("Net")
      ->transform(checked(whole_number(1, kMost)))
      ->capture_default_str();
  app.add_option(
         "--width", options.width, "Channels of each path: 3 -> 6 W -> 16 W")
      ->type_name("W")
      ->group("Net")
      ->transform(checked(whole_number(1, kMost)))
      ->capture_default_str();
  app.add_option_function<std::string>(
         "--skip",
         [&options](const std::string& text) {
           options.skip = text == "zero-fill" ? gatedpaths::Skip::kZeroFill
                                              : gatedpaths::Skip::kNoGrad;
         },
         "What a closed path does: zero-fill does not run\n"
         "it; no-grad runs it without a graph")
      ->type_name("zero-fill|no-grad")
      ->group("Net")
      ->transform(checked(either("zero-fill", "no-grad")))
      ->default_str("zero-fill");
  app.add_option_function<std::string>(
         "--form",
         [&options](const std::string& text) {
           options.form = text == "slots" ? Form::kSlots : Form::kDense;
         },
         "slots: the layer behind the paths touches only the\n"
         "open path's weights; dense: it takes zeros for the\n"
         "closed ones, whose weights momentum and weight\n"
         "decay go on moving. A checkpoint fits both")
      ->type_name("slots|dense")
      ->group("Net")
      ->transform(checked(either("slots", "dense")))
      ->default_str("slots");
  auto* path = app.add_option(
      "--path",
      options.path,
      "Train the net of this path alone, named as in the\n"
      "table of results: 'paths=b'. Its first weights are\n"
      "fresh ones of --seed, those of --paths 1");
  path->type_name("TEXT")->group("Net")->transform(
      checked(not_empty("a path, as 'paths=a'")));
  app.add_option(
         "--derive",
         options.derive,
         "Give it the weights that it has in a checkpoint of\n"
         "a run of all --paths, of either form. --resume\n"
         "needs the flag, but does not read the file again")
      ->type_name("FILE")
      ->group("Net")
      ->transform(checked(not_empty("the name of a checkpoint")))
      ->needs(path);
}

void add_training_flags(CLI::App& app, Options& options) {
  const auto add = [&app](
                       const char* name,
                       auto& value,
                       const char* type,
                       const Check& check,
                       const char* description) {
    app.add_option(name, value, description)
        ->type_name(type)
        ->group("Training")
        ->transform(checked(check))
        ->capture_default_str();
  };
  add("--epochs",
      options.epochs,
      "N",
      whole_number(1, kMost),
      "Passes over the training set");
  add("--batch-size",
      options.batch_size,
      "N",
      whole_number(1, kMost),
      "Images in a step");
  add("--lr",
      options.lr,
      "X",
      number("above 0", [](double x) { return x > 0; }),
      "Learning rate of SGD at the start; it falls\n"
      "linearly to 0 at the end");
  add("--momentum",
      options.momentum,
      "X",
      number("from 0 to below 1", [](double x) { return x >= 0 && x < 1; }),
      "Momentum of SGD");
  add("--weight-decay",
      options.weight_decay,
      "X",
      number("of at least 0", [](double x) { return x >= 0; }),
      "Weight decay of SGD");
  add("--seed",
      options.seed,
      "N",
      whole_number(0, kMostSeed),
      "Seed of the first weights, of the order of the\n"
      "images, and of the path of each step");
  add("--test-every",
      options.test_every,
      "N",
      whole_number(1, kMost),
      "Epochs from one test of all paths to the next;\n"
      "the last epoch is always tested");
}

void add_run_flags(CLI::App& app, Options& options) {
  app.add_option(
         "--threads",
         options.threads,
         "Threads of LibTorch, at most 1024; with 1, runs\n"
         "repeat bit for bit")
      ->type_name("N")
      ->group("Run")
      ->transform(checked(whole_number(1, kMostThreads)))
      ->capture_default_str();
  app.add_option("--device", options.device, "cpu, cuda or cuda:<index>")
      ->type_name("DEVICE")
      ->group("Run")
      ->transform(checked(check_device))
      ->capture_default_str();
  auto* checkpoint = app.add_option(
      "--checkpoint",
      options.checkpoint,
      "Save the run here after every epoch and on\n"
      "Ctrl-C");
  checkpoint->type_name("FILE")->group("Run")->transform(
      checked(not_empty("the name of a file")));
  auto* resume = app.add_flag(
      "--resume",
      options.resume,
      "Go on from the checkpoint, with the same flags as\n"
      "before, exactly as if it had never stopped");
  resume->group("Run")->needs(checkpoint);
  app.add_option(
         "--metrics",
         options.metrics,
         "Write one JSON object a line: start, epoch, test\n"
         "and end. With --resume, go on in this file")
      ->type_name("FILE")
      ->group("Run")
      ->transform(checked(not_empty("the name of a file")));
  app.add_flag(
         "--overwrite",
         options.overwrite,
         "Start anew where the checkpoint or the metrics of\n"
         "an earlier run are, and replace them; without it\n"
         "they are never touched")
      ->group("Run")
      ->excludes(resume);
}

struct FileFlag {
  const char* name;
  const std::filesystem::path& file;
};

void require_two_files(const FileFlag& a, const FileFlag& b) {
  if (!a.file.empty() && !b.file.empty() && is_same_file(a.file, b.file)) {
    throw CLI::ValidationError(
        a.name,
        fmt::format(
            "expected another file than {} '{}', got '{}'",
            b.name,
            b.file.string(),
            a.file.string()));
  }
}

void check_files(const Options& options) {
  if (options.overwrite && options.checkpoint.empty() &&
      options.metrics.empty()) {
    throw CLI::ValidationError(
        "--overwrite",
        "expected --checkpoint or --metrics with it, got neither");
  }
  const FileFlag checkpoint{"--checkpoint", options.checkpoint};
  const FileFlag metrics{"--metrics", options.metrics};
  const FileFlag derive{"--derive", options.derive};
  require_two_files(metrics, checkpoint);
  require_two_files(derive, checkpoint);
  require_two_files(derive, metrics);
}

}  // namespace

std::optional<int> parse_command_line(
    const std::vector<std::string>& arguments,
    Options& options,
    std::ostream& out,
    std::ostream& err) {
  CLI::App app(
      "Trains a net whose parallel paths are switched on one at a time, on\n"
      "CIFAR-10: in each step one path is drawn, and the closed ones cost\n"
      "nothing. Defaults stand in brackets.",
      "cifar10");
  app.formatter(help_formatter());
  add_data_flags(app, options.data);
  add_net_flags(app, options);
  add_training_flags(app, options);
  add_run_flags(app, options);

  return parse_flags(
      app, arguments, [&options] { check_files(options); }, out, err);
}

}  // namespace cifar10
