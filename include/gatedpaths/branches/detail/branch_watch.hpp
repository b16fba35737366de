// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <torch/nn/module.h>

namespace gatedpaths::detail {

/// Sees which branch runs, and when, on this thread: what is open alone. A run
/// that leaves no trace (`NoTrace`: a closed branch, a probe) is no part of
/// what a path does, and only pauses it.
class GATEDPATHS_EXPORT BranchWatch {
 public:
  BranchWatch() = default;
  BranchWatch(const BranchWatch&) = delete;
  BranchWatch& operator=(const BranchWatch&) = delete;
  virtual ~BranchWatch();

  /// A branch's forward begins; runs nest.
  virtual void enter(const torch::nn::Module& branch) = 0;
  /// The forward that began last ends, or throws.
  virtual void leave() noexcept = 0;
  /// What follows counts for nothing, until as many `resume`s.
  virtual void pause() noexcept = 0;
  /// The end of a `pause`.
  virtual void resume() noexcept = 0;

  /// The one of this thread, or null.
  static BranchWatch* current() noexcept;

 private:
  friend class WatchScope;
};

/// While it lives, `watch` is the one of this thread.
class GATEDPATHS_EXPORT WatchScope {
 public:
  explicit WatchScope(BranchWatch& watch) noexcept;
  ~WatchScope();
  WatchScope(const WatchScope&) = delete;
  WatchScope& operator=(const WatchScope&) = delete;

 private:
  BranchWatch* outer_;
};

/// One forward of a branch, for the watch of this thread.
class BranchRun {
 public:
  explicit BranchRun(const torch::nn::Module& branch)
      : watch_(BranchWatch::current()) {
    if (watch_ != nullptr) {
      watch_->enter(branch);
    }
  }
  ~BranchRun() {
    if (watch_ != nullptr) {
      watch_->leave();
    }
  }
  BranchRun(const BranchRun&) = delete;
  BranchRun& operator=(const BranchRun&) = delete;

 private:
  BranchWatch* watch_;
};

/// While it lives, the watch of this thread is paused.
class PausedWatch {
 public:
  PausedWatch() : watch_(BranchWatch::current()) {
    if (watch_ != nullptr) {
      watch_->pause();
    }
  }
  ~PausedWatch() {
    if (watch_ != nullptr) {
      watch_->resume();
    }
  }
  PausedWatch(const PausedWatch&) = delete;
  PausedWatch& operator=(const PausedWatch&) = delete;

 private:
  BranchWatch* watch_;
};

}  // namespace gatedpaths::detail
