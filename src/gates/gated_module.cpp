// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/gated_module.hpp>

#include "../random/draw_open_set.hpp"
#include "../random/fresh_seed.hpp"
#include "../text/archive_name.hpp"
#include "../text/text.hpp"
#include "next_draw.hpp"

#include <c10/util/Exception.h>
#include <c10/util/SmallVector.h>

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <unordered_map>
#include <utility>

namespace gatedpaths {
namespace {

void check_branch_names(
    std::string_view kind, const std::vector<std::string>& names) {
  TORCH_CHECK_VALUE(
      !names.empty(),
      fmt::format("{}: expected at least one branch, got none", kind));
  std::unordered_map<std::string_view, size_t> seen;
  for (size_t i = 0; i < names.size(); ++i) {
    TORCH_CHECK_VALUE(
        !names[i].empty(),
        fmt::format(
            "{}: expected branch names that are not empty, got '' for branch "
            "{}",
            kind,
            i));
    TORCH_CHECK_VALUE(
        names[i].find('.') == std::string::npos,
        fmt::format(
            "{}: expected branch names without a dot, got '{}' for branch {}",
            kind,
            names[i],
            i));
    const std::string_view reason = detail::why_not_loadable(names[i]);
    TORCH_CHECK_VALUE(
        reason.empty(),
        fmt::format(
            "{}: expected branch names that a checkpoint can hold, got '{}' "
            "for "
            "branch {}: {}",
            kind,
            names[i],
            i,
            reason));
    const auto [place, is_new] = seen.try_emplace(names[i], i);
    TORCH_CHECK_VALUE(
        is_new,
        fmt::format(
            "{}: expected different branch names, got '{}' for branches {} and "
            "{}",
            kind,
            names[i],
            place->second,
            i));
  }
}

int64_t find_branch(
    const GatedModule& gate, std::string_view method, std::string_view name) {
  const std::vector<std::string>& names = gate.branch_names();
  const auto place = std::find(names.begin(), names.end(), name);
  TORCH_CHECK_INDEX(
      place != names.end(),
      fmt::format(
          "{}::{}: expected one of ({}), got '{}'",
          gate.gate_kind(),
          method,
          detail::quoted(names),
          name));
  return place - names.begin();
}

}  // namespace

bool GatedModule::is_open(int64_t index) const {
  check_branch_index("is_open", index);
  const c10::IntArrayRef open = open_branches();
  return std::binary_search(open.begin(), open.end(), index);
}

bool GatedModule::is_open(std::string_view name) const {
  return is_open(find_branch(*this, "is_open", name));
}

int64_t GatedModule::branch_index(std::string_view name) const {
  return find_branch(*this, "branch_index", name);
}

void GatedModule::set_open(std::initializer_list<int64_t> indices) {
  set_open(c10::IntArrayRef(indices.begin(), indices.size()));
}

// A copy, since `indices` may well be a part of `applied_` itself.
c10::SmallVector<int64_t, 16> GatedModule::checked_open(
    std::string_view method, c10::IntArrayRef indices) const {
  c10::SmallVector<int64_t, 16> open(indices.begin(), indices.end());
  std::sort(open.begin(), open.end());
  if (!open.empty()) {
    check_branch_index(method, open.front());
    check_branch_index(method, open.back());
  }
  const auto twice = std::adjacent_find(open.begin(), open.end());
  TORCH_CHECK_VALUE(
      twice == open.end(),
      fmt::format(
          "{}::{}: expected different branches, got {} ('{}') twice",
          gate_kind(),
          method,
          *twice,
          names_[static_cast<size_t>(*twice)]));
  const auto count = static_cast<int64_t>(open.size());
  TORCH_CHECK_VALUE(
      min_open_ <= count && count <= max_open_,
      fmt::format(
          "{}::{}: expected {} to {} open branches, got {} ({}) of ({})",
          gate_kind(),
          method,
          min_open_,
          max_open_,
          count,
          detail::numbers(open),
          detail::quoted(names_)));
  return open;
}

void GatedModule::set_open(c10::IntArrayRef indices) {
  const auto open = checked_open("set_open", indices);
  applied_.assign(open.begin(), open.end());
  drawn_holds_ = false;
  ran_.reset();
}

void GatedModule::set_open(c10::ArrayRef<std::string> names) {
  c10::SmallVector<int64_t, 16> indices;
  for (const std::string& name : names) {
    indices.push_back(find_branch(*this, "set_open", name));
  }
  set_open(c10::IntArrayRef(indices));
}

void GatedModule::check_kept(c10::IntArrayRef kept) const {
  checked_open("keep_only", kept);
}

void GatedModule::keep_only(c10::IntArrayRef kept) {
  check_kept(kept);
  const auto open = checked_open("keep_only", kept);
  const auto count = static_cast<int64_t>(open.size());
  if (count < num_branches()) {
    drop_branches(open);
    num_dropped_ += num_branches() - count;
    std::vector<std::string> names;
    for (const int64_t index : open) {
      names.push_back(std::move(names_[static_cast<size_t>(index)]));
    }
    names_ = std::move(names);
  }
  max_open_ = count;
  if (is_drawn_by_nature()) {
    min_open_ = std::min(min_open_, count);
  } else {
    min_open_ = count;
    draw_state_.reset();
  }
  applied_.resize(open.size());
  std::iota(applied_.begin(), applied_.end(), 0);
  drawn_holds_ = false;
  ran_.reset();
}

void GatedModule::drop_branches(c10::IntArrayRef /*kept*/) {
  TORCH_CHECK_NOT_IMPLEMENTED(
      false,
      gate_kind(),
      "::keep_only: expected a class that overrides drop_branches, got one "
      "that does not, whose branches cannot be dropped");
}

void GatedModule::draw_each_forward() {
  draw_each_forward(detail::fresh_seed());
}

void GatedModule::draw_each_forward(uint64_t seed) {
  draw_state_ = DrawState{seed, 0};
}

void GatedModule::stop_drawing() {
  draw_state_.reset();
  drawn_holds_ = false;
}

void GatedModule::set_draw_state(const DrawState& state) {
  draw_state_ = state;
}

void GatedModule::visit_draws(const DrawVisitor& visit) {
  if (draw_state_) {
    visit("gate", *draw_state_);
  }
}

void GatedModule::init_gates(
    std::string_view kind,
    std::vector<std::string> names,
    int64_t min_open,
    int64_t max_open) {
  check_branch_names(kind, names);
  const auto count = static_cast<int64_t>(names.size());
  TORCH_CHECK_VALUE(
      0 <= min_open && min_open <= max_open && 1 <= max_open &&
          max_open <= count,
      fmt::format(
          "{}: expected 0 <= min_open <= max_open <= {} and max_open >= 1, got "
          "min_open={} and max_open={}",
          kind,
          count,
          min_open,
          max_open));
  names_ = std::move(names);
  min_open_ = min_open;
  max_open_ = max_open;
  applied_.clear();
  for (int64_t i = 0; i < max_open; ++i) {
    applied_.push_back(i);
  }
  drawn_.clear();
  drawn_holds_ = false;
}

struct GatedModule::KeptDraws : detail::KeptState {
  explicit KeptDraws(GatedModule& owner)
      : gate(owner),
        applied(owner.applied_),
        drawn(owner.drawn_),
        drawn_holds(owner.drawn_holds_),
        ran(owner.ran_),
        state(owner.draw_state_) {}

  ~KeptDraws() override {
    gate.applied_ = std::move(applied);
    gate.drawn_ = std::move(drawn);
    gate.drawn_holds_ = drawn_holds;
    gate.ran_ = std::move(ran);
    gate.draw_state_ = state;
  }

  GatedModule& gate;
  std::vector<int64_t> applied;
  std::vector<int64_t> drawn;
  bool drawn_holds;
  std::optional<std::vector<int64_t>> ran;
  std::optional<DrawState> state;
};

std::unique_ptr<detail::KeptState> GatedModule::keep() {
  return std::make_unique<KeptDraws>(*this);
}

void GatedModule::check_branch_index(
    std::string_view method, int64_t index) const {
  TORCH_CHECK_INDEX(
      0 <= index && index < num_branches(),
      fmt::format(
          "{}::{}: expected a branch index in [0, {}), got {}",
          gate_kind(),
          method,
          num_branches(),
          index));
}

void GatedModule::draw(bool training) {
  drawn_holds_ = training;
  if (!training) {
    return;
  }
  auto random = detail::next_draw(*draw_state_, gate_kind());
  detail::draw_open_set(random, num_branches(), min_open_, max_open_, drawn_);
}

}  // namespace gatedpaths
