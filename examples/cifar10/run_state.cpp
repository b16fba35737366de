// SPDX-License-Identifier: MIT
#include "run_state.hpp"

#include <gatedpaths/training/checkpoint.hpp>

#include <c10/util/Exception.h>
#include <torch/serialize/archive.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace cifar10 {
namespace {

namespace fs = std::filesystem;

using torch::optim::SGDParamState;
using torch::serialize::InputArchive;
using torch::serialize::OutputArchive;

constexpr auto kFormat = "gatedpaths cifar10 run 1";
constexpr auto kWhole = "a whole checkpoint of this program";

std::string in_quotes(const fs::path& file) {
  return fmt::format("checkpoint '{}'", file.string());
}

std::string read_text(InputArchive& archive, const char* key) {
  c10::IValue value;
  return archive.try_read(key, value) && value.isString() ? value.toStringRef()
                                                          : std::string();
}

Json to_json(const Position& position) {
  return {
      {"epoch", position.epoch},
      {"batch", position.batch},
      {"step", position.step},
      {"loss_sum", position.loss_sum},
      {"seconds", position.seconds}};
}

Position to_position(const Json& json) {
  // A loss that ran off to NaN is null in JSON.
  const auto& loss_sum = json.at("loss_sum");
  return {
      .epoch = json.at("epoch"),
      .batch = json.at("batch"),
      .step = json.at("step"),
      .loss_sum = loss_sum.is_number() ? loss_sum.get<double>() : NAN,
      .seconds = json.at("seconds")};
}

InputArchive open_archive(const fs::path& file) {
  TORCH_CHECK_VALUE(
      fs::is_regular_file(file),
      in_quotes(file),
      ": expected ",
      kWhole,
      ", got no such file");
  InputArchive archive;
  try {
    archive.load_from(file.string());
  } catch (const std::exception& error) {
    const std::string reason = error.what();
    TORCH_CHECK_VALUE(
        false,
        in_quotes(file),
        ": expected ",
        kWhole,
        ", got ",
        fs::file_size(file),
        " bytes that cannot be read (",
        reason.substr(0, reason.find('\n')),
        ")");
  }
  return archive;
}

void check_settings(
    const fs::path& file, const Json& saved, const Json& wanted) {
  std::vector<std::string> differences;
  for (const auto& [name, value] : wanted.items()) {
    const auto other = saved.value(name, Json());
    if (other != value) {
      differences.push_back(fmt::format(
          "expected {} {}, got {}", name, value.dump(), other.dump()));
    }
  }
  TORCH_CHECK_VALUE(
      differences.empty(),
      in_quotes(file),
      " is of another run: ",
      fmt::format("{}", fmt::join(differences, "; ")));
}

using Momentum = std::vector<std::pair<torch::Tensor, torch::Tensor>>;

/// Pairs each parameter that has one with its momentum.
Momentum read_momentum(const torch::nn::Module& net, InputArchive& archive) {
  Momentum momentum;
  for (const auto& item : net.named_parameters()) {
    torch::Tensor value;
    if (archive.try_read(item.key(), value)) {
      TORCH_CHECK_VALUE(
          value.sizes() == item.value().sizes(),
          "momentum of '",
          item.key(),
          "': expected ",
          item.value().sizes(),
          ", got ",
          value.sizes());
      momentum.emplace_back(
          item.value(),
          value.to(
              item.value().device(),
              /*non_blocking=*/false,
              /*copy=*/true));
    }
  }
  return momentum;
}

}  // namespace

void save_run(
    const fs::path& file,
    const torch::nn::Module& net,
    torch::optim::SGD& optimizer,
    const Position& position,
    const Json& settings) {
  OutputArchive archive;
  archive.write("format", c10::IValue(std::string(kFormat)));
  archive.write("settings", c10::IValue(settings.dump()));
  archive.write("position", c10::IValue(to_json(position).dump()));

  OutputArchive weights(archive.compilation_unit());
  net.save(weights);
  archive.write("net", weights);

  // By the names of the parameters: SGD's own `save` names them by addresses.
  OutputArchive momentum(archive.compilation_unit());
  for (const auto& item : net.named_parameters()) {
    const auto state =
        optimizer.state().find(item.value().unsafeGetTensorImpl());
    if (state == optimizer.state().end()) {
      continue;  // never stepped
    }
    const auto& buffer =
        static_cast<const SGDParamState&>(*state->second).momentum_buffer();
    if (buffer.defined()) {
      momentum.write(item.key(), buffer, /*is_buffer=*/true);
    }
  }
  archive.write("momentum", momentum);
  gatedpaths::save_atomically(file, archive);
}

Position load_run(
    const fs::path& file,
    torch::nn::Module& net,
    torch::optim::SGD& optimizer,
    const Json& settings) {
  auto archive = open_archive(file);
  const auto format = read_text(archive, "format");
  TORCH_CHECK_VALUE(
      format == kFormat,
      in_quotes(file),
      ": expected the format '",
      kFormat,
      "', got '",
      format,
      "'");
  check_settings(file, Json::parse(read_text(archive, "settings")), settings);
  const auto position =
      to_position(Json::parse(read_text(archive, "position")));

  InputArchive momentum_archive;
  archive.read("momentum", momentum_archive);
  auto momentum = read_momentum(net, momentum_archive);
  InputArchive weights;
  archive.read("net", weights);
  gatedpaths::load_checked(net, weights);

  optimizer.state().clear();
  for (auto& [parameter, value] : momentum) {
    auto state = std::make_unique<SGDParamState>();
    state->momentum_buffer(value);
    optimizer.state()[parameter.unsafeGetTensorImpl()] = std::move(state);
  }
  return position;
}

void require_checkpoint_folder(const fs::path& file) {
  const auto folder = file.has_parent_path() ? file.parent_path() : ".";
  errno = 0;
  const bool good = ::access(folder.c_str(), W_OK | X_OK) == 0;
  TORCH_CHECK(
      good,
      in_quotes(file),
      ": expected a folder that can be written, got '",
      folder.string(),
      "': ",
      std::strerror(errno));
  TORCH_CHECK_VALUE(
      !fs::exists(file) || fs::is_regular_file(file),
      in_quotes(file),
      ": expected the name of a file, got that of ",
      fs::is_directory(file) ? "a folder" : "a special file");
}

}  // namespace cifar10
