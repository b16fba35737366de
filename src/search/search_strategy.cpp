// SPDX-License-Identifier: MIT
#include <gatedpaths/search/search_strategy.hpp>

#include <gatedpaths/gates/stream_seed.hpp>
#include <gatedpaths/search/budget_sampler.hpp>

#include "path_proposer.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace gatedpaths {
namespace {

// From the parent, and then each from the try before.
constexpr int kMutations = 16;
constexpr int kFurtherMutations = 16;

std::string objectives_text(const std::vector<Objective>& objectives) {
  std::vector<std::string> texts;
  for (const auto& [name, direction] : objectives) {
    texts.push_back(
        (direction == Direction::kMaximize ? "maximize " : "minimize ") + name);
  }
  return fmt::format("{}", fmt::join(texts, " and "));
}

// With a number for what the words do not say: what each branch costs.
std::string within_text(const std::optional<CountedSpace>& within) {
  return within ? fmt::format(
                      "{} ({:016x})",
                      within->budget().text(),
                      BudgetSampler(*within, /*seed=*/0).state().source)
                : std::string("all");
}

}  // namespace

SearchStrategy::SearchStrategy(
    std::string name,
    std::shared_ptr<const SpaceLayout> layout,
    uint64_t seed,
    SearchOptions options,
    const std::string& parameters)
    : name_(std::move(name)),
      layout_(std::move(layout)),
      options_(std::move(options)),
      state_{.seed = seed} {
  TORCH_CHECK_VALUE(
      layout_ != nullptr,
      fmt::format("{}: expected a space, got a null pointer", name_));
  TORCH_CHECK_VALUE(
      !options_.objectives().empty(),
      fmt::format("{}: expected at least 1 objective, got none", name_));
  const auto& within = options_.within();
  TORCH_CHECK_VALUE(
      !within || *within->layout() == *layout_,
      fmt::format(
          "{}: expected a budget of space {:#018x}, got one of space {:#018x}",
          name_,
          layout_->hash(),
          within ? within->layout()->hash() : 0));
  text_ = fmt::format(
      "{}(objectives={}, within={}, repeats={}{}{})",
      name_,
      objectives_text(options_.objectives()),
      within_text(within),
      options_.repeats(),
      parameters.empty() ? "" : ", ",
      parameters);
  proposer_ = std::make_unique<const detail::PathProposer>(layout_, within);
}

SearchStrategy::~SearchStrategy() = default;

std::vector<Path> SearchStrategy::ask(int64_t count) {
  TORCH_CHECK_VALUE(
      count >= 1,
      fmt::format("{}::ask: expected at least 1 path, got {}", name_, count));
  std::vector<Path> paths;
  for (int64_t i = 0; i < count; ++i) {
    DrawState after = state_;
    auto path = propose(after.take_step());
    exhausted_ = !path.has_value();
    if (exhausted_) {
      break;
    }
    mark_asked(*path);
    state_ = after;
    paths.push_back(*std::move(path));
  }
  return paths;
}

void SearchStrategy::tell(const Path& path, c10::ArrayRef<double> values) {
  check_path("tell", path);
  TORCH_CHECK_VALUE(
      values.size() == num_objectives(),
      fmt::format(
          "{}::tell: expected {} values ({}), got {}",
          name_,
          num_objectives(),
          objectives_text(options_.objectives()),
          values.size()));
  for (size_t i = 0; i < values.size(); ++i) {
    TORCH_CHECK_VALUE(
        std::isfinite(values[i]),
        fmt::format(
            "{}::tell: expected finite values, got {} for '{}' of {}; "
            "tell_failure tells that a path has none",
            name_,
            values[i],
            options_.objectives()[i].name,
            layout_->to_string(path)));
  }
  add_result(path, values);
  learn(told_.size() - 1);
}

void SearchStrategy::tell_failure(const Path& path) {
  check_path("tell_failure", path);
  add_result(path, {});
  learn(told_.size() - 1);
}

std::vector<Path> SearchStrategy::pending() const {
  std::vector<const Known*> waiting;
  for (const Known& known : known_) {
    if (known.waits > 0) {
      waiting.push_back(&known);
    }
  }
  std::sort(waiting.begin(), waiting.end(), [](auto* a, auto* b) {
    return a->asked_as < b->asked_as;
  });
  std::vector<Path> paths;
  for (const Known* known : waiting) {
    paths.push_back(*known->path);
  }
  return paths;
}

uint64_t SearchStrategy::ask_number(const Path& path) const {
  const auto number = find_known(path);
  return number ? known_[*number].asked_as : 0;
}

void SearchStrategy::check_one_objective() const {
  TORCH_CHECK_VALUE(
      num_objectives() == 1,
      fmt::format(
          "{}: expected 1 objective, got {} ({})",
          name_,
          num_objectives(),
          objectives_text(options_.objectives())));
}

std::optional<size_t> SearchStrategy::find_known(const Path& path) const {
  const auto place = numbers_.find(path);
  return place == numbers_.end() ? std::nullopt : std::optional(place->second);
}

double SearchStrategy::score(size_t result, size_t objective) const {
  const double value = values_[result * num_objectives() + objective];
  return options_.objectives()[objective].direction == Direction::kMaximize
             ? value
             : -value;
}

bool SearchStrategy::may_ask(const Path& path) const {
  return (options_.repeats() || !numbers_.contains(path)) &&
         (!options_.within() || options_.within()->budget().admits(path));
}

std::optional<Path> SearchStrategy::draw_path(uint64_t step) const {
  return proposer_->draw(
      stream(), step, known_.size(), [this](const Path& path) {
        return may_ask(path);
      });
}

std::optional<Path> SearchStrategy::mutate_path(
    const Path& parent, uint64_t step) const {
  detail::CounterRandom random(
      stream(), step, static_cast<uint64_t>(detail::Lane::kMutation));
  Path path;
  for (int i = 0; i < kMutations + kFurtherMutations; ++i) {
    path = proposer_->mutate(i < kMutations ? parent : path, random);
    if (may_ask(path)) {
      return path;
    }
  }
  return draw_path(step);
}

uint64_t SearchStrategy::stream() const {
  return stream_seed(state_.seed, name_);
}

size_t SearchStrategy::know(const Path& path) {
  const auto [place, is_new] = numbers_.try_emplace(path, known_.size());
  if (is_new) {
    known_.push_back({&place->first});
  }
  return place->second;
}

void SearchStrategy::mark_asked(const Path& path) {
  Known& known = known_[know(path)];
  known.asked_as = ++asked_;
  ++known.waits;
}

void SearchStrategy::add_result(
    const Path& path, c10::ArrayRef<double> values) {
  const size_t number = know(path);
  known_[number].waits = std::max<int64_t>(known_[number].waits - 1, 0);
  const bool failed = values.empty();
  told_.push_back({number, failed});
  failures_ += failed ? 1 : 0;
  if (failed) {
    values_.insert(
        values_.end(),
        num_objectives(),
        std::numeric_limits<double>::quiet_NaN());
  } else {
    values_.insert(values_.end(), values.begin(), values.end());
  }
}

void SearchStrategy::check_path(
    std::string_view method, const Path& path) const {
  TORCH_CHECK_VALUE(
      path.space_hash() == layout_->hash(),
      fmt::format(
          "{}::{}: expected a path of space {:#018x}, got one of space "
          "{:#018x}",
          name_,
          method,
          layout_->hash(),
          path.space_hash()));
}

}  // namespace gatedpaths
