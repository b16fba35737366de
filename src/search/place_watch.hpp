// SPDX-License-Identifier: MIT
// Knows in which part of a path a run is. Not installed.
#pragma once

#include <gatedpaths/branches/detail/branch_watch.hpp>

#include "path_meter.hpp"

#include <vector>

namespace gatedpaths::detail {

/// Follows a run from branch to branch.
class PlaceWatch : public BranchWatch {
 public:
  explicit PlaceWatch(PathMeter& meter) : meter_(meter) {}

  /// The innermost branch that runs, of those of the space.
  GatePlace place() const {
    return places_.empty() ? kOutsideOfGates : places_.back();
  }

  /// Whether what runs is no part of the path.
  bool is_paused() const noexcept { return pauses_ > 0; }

 protected:
  /// Before and after the place changes, or a pause begins or ends.
  virtual void before_change() noexcept {}
  virtual void after_change() noexcept {}

 private:
  void enter(const torch::nn::Module& branch) override;
  void leave() noexcept override;
  void pause() noexcept override;
  void resume() noexcept override;

  GatePlace place_of(const torch::nn::Module& branch) const;

  PathMeter& meter_;
  std::vector<GatePlace> places_;
  int64_t pauses_ = 0;
};

}  // namespace gatedpaths::detail
