// SPDX-License-Identifier: MIT
#include "run_state.hpp"

#include "checksum.hpp"
#include "link_target.hpp"
#include "momentum.hpp"

#include <gatedpaths/exchange/checkpoint.hpp>
#include <gatedpaths/exchange/dense_state.hpp>

#include <c10/util/Exception.h>
#include <torch/serialize/archive.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iterator>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace cifar10 {
namespace {

namespace fs = std::filesystem;

using gatedpaths::StateDict;
using torch::serialize::InputArchive;
using torch::serialize::OutputArchive;

constexpr auto kFormat = "gatedpaths cifar10 run 2";
constexpr auto kWhole = "a whole checkpoint of this program";

std::string in_quotes(const fs::path& file) {
  return fmt::format("checkpoint '{}'", file.string());
}

std::string read_text(InputArchive& archive, const char* key) {
  c10::IValue value;
  return archive.try_read(key, value) && value.isString() ? value.toStringRef()
                                                          : std::string();
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
    archive.load_from(file.string(), torch::kCPU);  // also one of a GPU
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

void check_content(const fs::path& file, InputArchive& archive) {
  const auto saved = read_text(archive, "checksum");
  TORCH_CHECK_VALUE(
      !saved.empty(),
      in_quotes(file),
      ": expected a checksum of its content, got none (a development version "
      "of this program wrote it)");
  const auto found = checksum(content_of(archive));
  TORCH_CHECK_VALUE(
      found == saved,
      in_quotes(file),
      ": expected content with the checksum ",
      saved,
      ", got ",
      found,
      " (the file has changed since it was saved)");
}

/// An archive that is as this program saved it.
InputArchive open_checked(const fs::path& file) {
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
  check_content(file, archive);
  return archive;
}

ReadJson read_settings(const fs::path& file, InputArchive& archive) {
  const auto text = read_text(archive, "settings");
  auto saved = ReadJson::parse(text, nullptr, /*allow_exceptions=*/false);
  TORCH_CHECK_VALUE(
      saved.is_object(),
      in_quotes(file),
      ": expected the settings of a run, got '",
      text,
      "'");
  return saved;
}

template <class Settings>
std::string setting_text(const Settings& settings, const std::string& name) {
  const auto found = settings.find(name);
  return found == settings.end() || found->is_null() ? "none"
         : found->is_primitive()                     ? found->dump()
                                                     : found->type_name();
}

/// Throws where a name has another value, or stands in one of the two alone.
/// `wrong` is the start of the message.
void check_settings(
    const std::string& wrong, const ReadJson& saved, const Json& wanted) {
  std::vector<std::string> differences;
  const auto compare = [&](const std::string& name) {
    const auto value = setting_text(wanted, name);
    const auto other = setting_text(saved, name);
    if (other != value) {
      differences.push_back(
          fmt::format("expected {} {}, got {}", name, value, other));
    }
  };
  for (const auto& item : wanted.items()) {
    compare(item.key());
  }
  for (const auto& item : saved.items()) {
    if (!wanted.contains(item.key())) {
      compare(item.key());
    }
  }
  TORCH_CHECK_VALUE(
      differences.empty(),
      wrong,
      ": ",
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
  auto archive = open_checked(file);
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
  auto archive = open_checked(file);
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
