// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/branch_watch.hpp>

namespace gatedpaths::detail {
namespace {

thread_local BranchWatch* current_watch = nullptr;

}  // namespace

BranchWatch::~BranchWatch() = default;

BranchWatch* BranchWatch::current() noexcept { return current_watch; }

WatchScope::WatchScope(BranchWatch& watch) noexcept : outer_(current_watch) {
  current_watch = &watch;
}

WatchScope::~WatchScope() { current_watch = outer_; }

}  // namespace gatedpaths::detail
