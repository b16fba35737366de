// SPDX-License-Identifier: MIT
#include "run_state.hpp"

#include <gatedpaths/exchange/checkpoint.hpp>
#include <gatedpaths/exchange/dense_state.hpp>

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

using gatedpaths::StateDict;
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

/// The module of this name below `module`; a new one where there is none.
torch::nn::Module& module_at(
    torch::nn::Module& module, const std::string& name) {
  const auto dot = name.find('.');
  const auto child_name = name.substr(0, dot);
  const auto children = module.named_children();
  const auto* found = children.find(child_name);
  auto& child = found != nullptr
                    ? **found
                    : *module.register_module(
                          child_name, std::make_shared<torch::nn::Module>());
  return dot == std::string::npos ? child
                                  : module_at(child, name.substr(dot + 1));
}

/// Modules named like the net's that hold these parameters and do nothing. With
/// those of the dense form they are saved and loaded as the dense net is.
std::shared_ptr<torch::nn::Module> module_of(
    const torch::nn::Module& net, const StateDict& parameters) {
  auto module = std::make_shared<torch::nn::Module>();
  // Those without parameters too: they are in the file.
  for (const auto& item : net.named_modules("", /*include_self=*/false)) {
    module_at(*module, item.key());
  }
  for (const auto& item : parameters) {
    const auto& name = item.key();
    const auto dot = name.rfind('.');
    auto& owner = dot == std::string::npos
                      ? *module
                      : module_at(*module, name.substr(0, dot));
    owner.register_parameter(name.substr(dot + 1), item.value());
  }
  return module;
}

/// The net's weights in the dense form, from the file.
StateDict read_weights(const torch::nn::Module& net, InputArchive& archive) {
  StateDict weights;
  for (const auto& item : gatedpaths::slots_to_dense(net)) {
    weights.insert(item.key(), torch::empty_like(item.value()));
  }
  const auto module = module_of(net, weights);
  gatedpaths::load_checked(*module, archive);
  return module->named_parameters();
}

std::string describe(const torch::Tensor& tensor) {
  return tensor.defined() ? fmt::format(
                                "[{}] {}",
                                fmt::join(tensor.sizes(), ", "),
                                c10::toString(tensor.scalar_type()))
                          : "no tensor";
}

/// The momentum of each parameter that has one, by its name in the net.
StateDict momentum_of(
    const torch::nn::Module& net, torch::optim::SGD& optimizer) {
  StateDict momentum;
  for (const auto& item : net.named_parameters()) {
    const auto state =
        optimizer.state().find(item.value().unsafeGetTensorImpl());
    if (state != optimizer.state().end()) {  // it was stepped
      momentum.insert(
          item.key(),
          static_cast<const SGDParamState&>(*state->second).momentum_buffer());
    }
  }
  return momentum;
}

/// The same from the file, checked.
StateDict read_momentum(const torch::nn::Module& net, InputArchive& archive) {
  const auto parameters = gatedpaths::slots_to_dense(net);
  StateDict momentum;
  for (const auto& name : archive.keys()) {
    const auto* parameter = parameters.find(name);
    TORCH_CHECK_VALUE(
        parameter != nullptr,
        "momentum: expected that of a parameter of the net, got that of '",
        name,
        "'");
    torch::Tensor value;
    archive.try_read(name, value);
    TORCH_CHECK_VALUE(
        value.defined() && value.sizes() == parameter->sizes() &&
            value.scalar_type() == parameter->scalar_type(),
        "momentum of '",
        name,
        "': expected ",
        describe(*parameter),
        ", got ",
        describe(value));
    momentum.insert(name, value);
  }
  return gatedpaths::split_slots(net, momentum);
}

void set_momentum(
    const torch::nn::Module& net,
    torch::optim::SGD& optimizer,
    const StateDict& momentum) {
  const torch::NoGradGuard no_grad;
  const auto parameters = net.named_parameters();
  optimizer.state().clear();
  for (const auto& item : momentum) {
    const auto& parameter = parameters[item.key()];
    auto state = std::make_unique<SGDParamState>();
    state->momentum_buffer(torch::empty_like(parameter).copy_(item.value()));
    optimizer.state()[parameter.unsafeGetTensorImpl()] = std::move(state);
  }
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
  module_of(net, gatedpaths::slots_to_dense(net))->save(weights);
  archive.write("net", weights);

  // By the names of the parameters: SGD's own `save` names them by addresses.
  // A path that was never open has none, but for its part of the dense layer:
  // there it is zeros, with which the next step is the same.
  OutputArchive momentum(archive.compilation_unit());
  for (const auto& item :
       gatedpaths::join_slots(net, momentum_of(net, optimizer))) {
    momentum.write(item.key(), item.value(), /*is_buffer=*/true);
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
  const auto momentum = read_momentum(net, momentum_archive);
  InputArchive weights_archive;
  archive.read("net", weights_archive);
  const auto weights = read_weights(net, weights_archive);

  gatedpaths::slots_from_dense(net, weights);
  set_momentum(net, optimizer, momentum);
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
