// SPDX-License-Identifier: MIT
// The net that a run begins with: that of all paths, or of one of them alone.
#pragma once

#include "command_line.hpp"
#include "json.hpp"
#include "net.hpp"

#include <string>

namespace cifar10 {

struct FirstNet {
  Net net{nullptr};
  /// What makes it the net that it is: flags and values.
  Json settings{};
  /// The checksum of the checkpoint whose weights it has; empty: they are
  /// fresh.
  std::string inherited{};
};

/// The net of all paths has fresh weights of the seed. That of --path is
/// derived from it, in either form: it holds nothing of the other paths. Fresh
/// weights are those of a net that never had others, as `--paths 1` makes, so
/// that all paths start from equal ones; --derive gives it those that the path
/// has in a checkpoint. With --resume that is not read, since the run's own
/// checkpoint holds all that goes on.
///
/// Throws, in the name of the flag, for a path that the net does not have, and
/// for a checkpoint that is not whole or is none of a net of these paths.
FirstNet make_first_net(const Options& options);

}  // namespace cifar10
