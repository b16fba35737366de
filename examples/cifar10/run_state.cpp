// SPDX-License-Identifier: MIT
#include "run_state.hpp"

#include "checkpoint_file.hpp"
#include "checksum.hpp"
#include "link_target.hpp"
#include "momentum.hpp"

#include <gatedpaths/exchange/checkpoint.hpp>
#include <gatedpaths/exchange/dense_state.hpp>

#include <c10/util/Exception.h>
#include <torch/serialize/archive.h>

#include <fmt/format.h>

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iterator>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

namespace cifar10 {
namespace {

namespace fs = std::filesystem;

using gatedpaths::StateDict;
using torch::serialize::InputArchive;
using torch::serialize::OutputArchive;

constexpr auto kFormat = "gatedpaths cifar10 run 2";

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
StateDict read_weights(const torch::nn::Module& net, InputArchive& file) {
  InputArchive archive;
  file.read("net", archive);
  StateDict weights;
  for (const auto& item : gatedpaths::slots_to_dense(net)) {
    weights.insert(item.key(), torch::empty_like(item.value()));
  }
  const auto module = module_of(net, weights);
  gatedpaths::load_checked(*module, archive);
  return module->named_parameters();
}

}  // namespace

void save_run(
    const fs::path& file,
    const torch::nn::Module& net,
    torch::optim::SGD& optimizer,
    const Position& position,
    const Json& settings) {
  Content content{
      {"format", std::string(kFormat)},
      {"settings", settings.dump()},
      {"position", position_text(position)}};
  OutputArchive archive;
  for (const auto& [name, text] : content) {
    archive.write(name, text);
  }

  const auto dense = gatedpaths::slots_to_dense(net);
  OutputArchive weights(archive.compilation_unit());
  module_of(net, dense)->save(weights);
  archive.write("net", weights);
  for (const auto& item : dense) {
    content["net." + item.key()] = item.value();
  }

  // A path that was never open has none, but for its part of the dense layer:
  // there it is zeros, with which the next step is the same.
  OutputArchive momentum(archive.compilation_unit());
  for (const auto& item :
       gatedpaths::join_slots(net, momentum_of(net, optimizer))) {
    momentum.write(item.key(), item.value(), /*is_buffer=*/true);
    content["momentum." + item.key()] = item.value();
  }
  archive.write("momentum", momentum);
  archive.write("checksum", c10::IValue(checksum(content)));
  gatedpaths::save_atomically(file, archive);
}

Position load_run(
    const fs::path& file,
    torch::nn::Module& net,
    torch::optim::SGD& optimizer,
    const Json& settings,
    const RunLength& length) {
  auto archive = open_checked(file, kFormat);
  check_settings(
      in_quotes(file) + " is of another run",
      read_settings(file, archive),
      settings);
  const auto position =
      parse_position(in_quotes(file), read_text(archive, "position"), length);

  InputArchive momentum_archive;
  archive.read("momentum", momentum_archive);
  const auto momentum = read_momentum(net, momentum_archive);
  const auto weights = read_weights(net, archive);

  gatedpaths::slots_from_dense(net, weights);
  set_momentum(net, optimizer, momentum);
  return position;
}

std::string load_weights(
    const fs::path& file, torch::nn::Module& net, const Json& settings) {
  auto archive = open_checked(file, kFormat);
  auto saved = read_settings(file, archive);
  for (auto item = saved.begin(); item != saved.end();) {
    item = settings.contains(item.key()) ? std::next(item) : saved.erase(item);
  }
  check_settings(in_quotes(file) + " is of another net", saved, settings);
  gatedpaths::slots_from_dense(net, read_weights(net, archive));
  return read_text(archive, "checksum");
}

void require_checkpoint_folder(const fs::path& file) {
  const auto folder = folder_of(link_target(file));
  errno = 0;
  const bool good = ::access(folder.c_str(), W_OK | X_OK) == 0;
  TORCH_CHECK(
      good,
      in_quotes(file),
      ": expected a folder that can be written, got '",
      folder.string(),
      "': ",
      std::strerror(errno));
  std::error_code error;
  const auto type = fs::status(file, error).type();
  TORCH_CHECK_VALUE(
      type == fs::file_type::not_found || type == fs::file_type::regular,
      in_quotes(file),
      ": expected the name of a file, got ",
      type == fs::file_type::directory ? "that of a folder"
      : type == fs::file_type::none    ? error.message()
                                       : "that of a special file");
}

}  // namespace cifar10
