// SPDX-License-Identifier: MIT
// Checkpoints of the program with any texts, and with tensors left out, added
// and changed, the checksum mostly right: all of it is loaded, or nothing.
#include "checksum.hpp"
#include "harnesses.hpp"
#include "input.hpp"
#include "net.hpp"
#include "promise.hpp"
#include "run_state.hpp"
#include "small_module.hpp"
#include "support/files.hpp"

#include <ATen/core/grad_mode.h>
#include <torch/optim/sgd.h>
#include <torch/serialize/archive.h>

#include <optional>
#include <string>

namespace gatedpaths::fuzz {
namespace {

using cifar10::Json;
using torch::serialize::OutputArchive;

/// A run to load into.
struct CifarRun {
  CifarRun()
      : net(cifar10::NetOptions{.paths = 1}),
        optimizer(
            net->parameters(), torch::optim::SGDOptions(0.1).momentum(0.9)) {}

  /// What no checkpoint has, so that every value that is loaded is a change.
  void reset() {
    const torch::NoGradGuard no_grad;
    for (auto& parameter : net->parameters()) {
      parameter.fill_(123);
    }
    optimizer.state().clear();
  }

  std::string bits() {
    auto tensors = net->parameters();
    for (const auto& parameter : net->parameters()) {
      const auto found =
          optimizer.state().find(parameter.unsafeGetTensorImpl());
      if (found != optimizer.state().end()) {
        tensors.push_back(
            static_cast<const torch::optim::SGDParamState&>(*found->second)
                .momentum_buffer());
      }
    }
    return bits_of(tensors);
  }

  cifar10::Net net;
  torch::optim::SGD optimizer;
};

/// What stands in a checkpoint, and its checksum.
class CheckpointWriter {
 public:
  explicit CheckpointWriter(Input& input) : input_(input) {}

  void write(const test::fs::path& file, const cifar10::Net& net) {
    OutputArchive archive;
    text(archive, "format", "gatedpaths cifar10 run 2");
    text(archive, "settings", R"({"--seed":7})");
    text(
        archive,
        "position",
        R"({"epoch":0,"batch":1,"step":1,"loss_sum":2.5,"seconds":0.5})");
    if (input_.below(16) != 1) {
      OutputArchive weights(archive.compilation_unit());
      module(weights, *net, "net.");
      archive.write("net", weights);
    }
    if (input_.below(16) != 1) {
      OutputArchive momentum(archive.compilation_unit());
      for (const auto& item : net->named_parameters()) {
        if (input_.below(4) == 1) {
          tensor(momentum, "momentum.", item.key(), item.value());
        }
      }
      archive.write("momentum", momentum);
    }
    if (input_.below(16) != 1) {
      archive.write("checksum", c10::IValue(cifar10::checksum(content_)));
    }
    archive.save_to(file.string());
  }

 private:
  void text(OutputArchive& archive, const char* name, std::string value) {
    switch (input_.below(4)) {
      case 1:
        value = input_.text();
        break;
      case 2:
        value[static_cast<std::size_t>(input_.byte()) % value.size()] =
            static_cast<char>(input_.byte());
        break;
      case 3:
        if (input_.below(8) == 1) {
          return;
        }
        break;
      default:
        break;
    }
    archive.write(name, c10::IValue(value));
    content_[name] = value;
  }

  void tensor(
      OutputArchive& archive,
      const std::string& prefix,
      const std::string& name,
      torch::Tensor value) {
    switch (input_.below(32)) {
      case 1:
        return;
      case 2:
        value = value.to(torch::kDouble);
        break;
      case 3:
        value = value.flatten();
        break;
      case 4:
        value = torch::zeros({1}).expand_as(value);
        break;
      case 5:
        value = torch::Tensor();
        break;
      default:
        break;
    }
    archive.write(name, value.defined() ? value.detach() : value, true);
    content_[prefix + name] = value;
  }

  void module(
      OutputArchive& archive,
      const torch::nn::Module& module,
      const std::string& prefix) {
    for (const auto& item : module.named_parameters(/*recurse=*/false)) {
      tensor(archive, prefix, item.key(), item.value());
    }
    for (const auto& child : module.named_children()) {
      OutputArchive nested(archive.compilation_unit());
      this->module(nested, *child.value(), prefix + child.key() + ".");
      archive.write(child.key(), nested);
    }
  }

  Input& input_;
  cifar10::Content content_;
};

}  // namespace

void cifar10_checkpoint(Bytes bytes) {
  static const test::TemporaryFolder folder;
  const auto file = folder / "run.pt";
  Input input(bytes);
  // The dense form's weights are as they stand in the file.
  static const cifar10::Net net(
      cifar10::NetOptions{.paths = 1, .form = cifar10::Form::kDense});
  try {
    CheckpointWriter(input).write(file, net);
  } catch (const std::exception&) {
    return;  // LibTorch writes no such archive
  }
  static CifarRun run;
  run.reset();
  const auto before = run.bits();
  cifar10::Position position;
  if (is_refused<c10::Error>("", [&] {
        position = cifar10::load_run(
            file,
            *run.net,
            run.optimizer,
            Json{{"--seed", 7}},
            {.epochs = 3, .steps_per_epoch = 4});
      })) {
    require(run.bits() == before, "nothing has changed after an error");
    return;
  }
  require(position.epoch <= 3 && position.step <= 12, "a position in the run");
  require(run.bits() != before, "new weights");
}

}  // namespace gatedpaths::fuzz
