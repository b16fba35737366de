// SPDX-License-Identifier: MIT
#include "first_net.hpp"

#include "run_state.hpp"

#include <c10/util/Exception.h>
#include <torch/utils.h>

#include <fmt/format.h>

#include <exception>
#include <utility>

namespace cifar10 {
namespace {

/// Runs the action, and puts the flag in front of its error.
template <class Action>
void in_name_of(const char* flag, const Action& action) {
  std::string problem;
  try {
    action();
    return;
  } catch (const c10::Error& error) {
    problem = error.what_without_backtrace();
  } catch (const std::exception& error) {
    problem = error.what();
  }
  TORCH_CHECK_VALUE(false, flag, ": ", problem);
}

Net seeded_net(const NetOptions& net, const Options& options) {
  torch::manual_seed(options.seed);
  return Net(net);
}

Json settings_of(const gatedpaths::PathSpace& space, const Options& options) {
  return {
      {"--paths", options.paths},
      {"--width", options.width},
      {"path space", fmt::format("{:016x}", space.hash())}};
}

/// Gives the net of one path the weights that the path has in a checkpoint, and
/// returns the checksum of that. `all` is a net of all paths, of which nothing
/// else is left then.
std::string inherit(
    const Net& net,
    Net& all,
    const gatedpaths::Path& path,
    const std::filesystem::path& file,
    Json settings) {
  settings["--path"] = nullptr;  // no run of one path
  auto checksum = load_weights(file, *all, settings);
  gatedpaths::narrow(all, path);
  gatedpaths::slots_from_dense(net, gatedpaths::slots_to_dense(all));
  return checksum;
}

}  // namespace

FirstNet make_first_net(const Options& options) {
  NetOptions net_options{
      .paths = options.paths,
      .width = options.width,
      .skip = options.skip,
      .form = options.path.empty() ? options.form : Form::kSlots};
  auto all = seeded_net(net_options, options);
  const gatedpaths::PathSpace space(*all);
  FirstNet first{.net = all, .settings = settings_of(space, options)};
  if (!options.path.empty()) {
    gatedpaths::Path path;
    in_name_of("--path", [&] { path = space.parse(options.path); });
    net_options.form = options.form;
    net_options.only = path.open_branches(0)[0];
    first.net = seeded_net(net_options, options);
    if (!options.derive.empty() && !options.resume) {
      in_name_of("--derive", [&] {
        first.inherited =
            inherit(first.net, all, path, options.derive, first.settings);
      });
    }
    first.settings["--path"] = space.to_string(path);
    first.settings["first weights"] =
        options.derive.empty() ? "fresh" : "inherited";
  }
  first.net->to(torch::Device(options.device));
  return first;
}

}  // namespace cifar10
