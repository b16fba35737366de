// SPDX-License-Identifier: MIT
#include "place_watch.hpp"

#include <algorithm>

namespace gatedpaths::detail {

void PlaceWatch::enter(const torch::nn::Module& branch) {
  before_change();
  places_.push_back(place_of(branch));
  if (!is_paused()) {
    meter_.entered_.insert(places_.back());
  }
  after_change();
}

void PlaceWatch::leave() noexcept {
  before_change();
  places_.pop_back();
  after_change();
}

void PlaceWatch::pause() noexcept {
  before_change();
  ++pauses_;
  after_change();
}

void PlaceWatch::resume() noexcept {
  before_change();
  --pauses_;
  after_change();
}

// A module may be several branches: it is the one that is open. Where several
// are, it stays unknown which, and what runs counts as what is around it.
GatePlace PlaceWatch::place_of(const torch::nn::Module& branch) const {
  const auto found = meter_.places_of_.find(&branch);
  if (found == meter_.places_of_.end()) {
    return place();
  }
  const GatePlace* only = nullptr;
  for (const GatePlace& candidate : found->second) {
    if (!meter_.path_->reaches(candidate.gate)) {
      continue;
    }
    const auto open = meter_.path_->open_branches(candidate.gate);
    if (!std::binary_search(open.begin(), open.end(), candidate.branch)) {
      continue;
    }
    if (only != nullptr) {
      return place();
    }
    only = &candidate;
  }
  return only == nullptr ? place() : *only;
}

}  // namespace gatedpaths::detail
