// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/draw_states.hpp>
#include <gatedpaths/gates/stream_seed.hpp>

#include "../text/text.hpp"
#include "gate_walk.hpp"

#include <ATen/core/List.h>
#include <ATen/core/ivalue.h>
#include <c10/util/Exception.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace gatedpaths {
namespace {

constexpr const char* kDrawNamesKey = "draw_names";
constexpr const char* kDrawKindsKey = "draw_kinds";
constexpr const char* kDrawNumbersKey = "draw_numbers";
constexpr const char* kDrawSourcesKey = "draw_sources";

template <class Visit>  // visit(name, kind, state)
void each_draw_below(torch::nn::Module& root, Visit visit) {
  struct Anywhere {};
  std::set<const torch::nn::Module*> seen;
  detail::walk_gates(
      root,
      Anywhere(),
      [&](const detail::WalkedModule& at, Anywhere) {
        if (!seen.insert(&at.module).second) {
          return false;
        }
        if (auto* drawer = dynamic_cast<Drawer*>(&at.module)) {
          drawer->visit_draws([&](std::string_view kind, DrawState& state) {
            visit(at.name.empty() ? std::string(".") : at.name, kind, state);
          });
        }
        return true;
      },
      [](const GatedModule&, int64_t, Anywhere) {
        return std::optional(Anywhere());
      });
}

std::string key_text(const DrawStates::Key& key) {
  return key.kind.empty() ? fmt::format("'{}'", key.name)
                          : fmt::format("'{}' ({})", key.name, key.kind);
}

// Of the modules alone, by their names.
using DrawKinds = std::map<std::string, std::set<std::string>>;

DrawKinds draw_kinds(const DrawStates& states) {
  DrawKinds kinds;
  for (const auto& [key, state] : states.entries()) {
    if (!key.kind.empty()) {
      kinds[key.name].insert(key.kind);
    }
  }
  return kinds;
}

void check_draw_kinds(const DrawKinds& expected, const DrawKinds& got) {
  std::vector<std::string> differences;
  for (const auto& [name, kinds] : expected) {
    const auto others = got.find(name);
    if (others == got.end()) {
      differences.push_back(
          fmt::format("missing '{}' ({})", name, fmt::join(kinds, ", ")));
    } else if (others->second != kinds) {
      differences.push_back(fmt::format(
          "'{}': expected {}, got {}",
          name,
          fmt::join(kinds, ", "),
          fmt::join(others->second, ", ")));
    }
  }
  for (const auto& [name, kinds] : got) {
    if (!expected.contains(name)) {
      differences.push_back(
          fmt::format("unexpected '{}' ({})", name, fmt::join(kinds, ", ")));
    }
  }
  TORCH_CHECK_VALUE(
      differences.empty(),
      fmt::format("set_draw_states: {}", fmt::join(differences, "; ")));
}

template <class T>
std::vector<T> read_draws(
    torch::serialize::InputArchive& archive, const char* key) {
  c10::IValue value;
  if (!archive.try_read(key, value) || !value.isList() ||
      *value.toList().elementType() != *c10::getTypePtr<T>()) {
    TORCH_CHECK_VALUE(
        false, "DrawStates::load: expected a list '", key, "', got none");
  }
  return value.to<std::vector<T>>();
}

}  // namespace

void DrawStates::add(
    std::string_view name, const DrawState& state, std::string_view kind) {
  const Key key{std::string(name), std::string(kind)};
  TORCH_CHECK_VALUE(
      entries_.emplace(key, state).second,
      fmt::format(
          "DrawStates::add: expected one state of each name and kind, got {} "
          "twice",
          key_text(key)));
}

const DrawState& DrawStates::at(
    std::string_view name, std::string_view kind) const& {
  const Key key{std::string(name), std::string(kind)};
  const auto found = entries_.find(key);
  TORCH_CHECK_INDEX(
      found != entries_.end(),
      fmt::format(
          "DrawStates::at: expected one of ({}), got {}",
          detail::listed(
              entries_,
              [](const auto& entry) { return key_text(entry.first); }),
          key_text(key)));
  return found->second;
}

void DrawStates::save(torch::serialize::OutputArchive& archive) const {
  c10::List<std::string> names;
  c10::List<std::string> kinds;
  c10::List<int64_t> numbers;
  c10::List<int64_t> sources;
  for (const auto& [key, state] : entries_) {
    names.push_back(key.name);
    kinds.push_back(key.kind);
    numbers.push_back(static_cast<int64_t>(state.seed));
    numbers.push_back(static_cast<int64_t>(state.step));
    sources.push_back(static_cast<int64_t>(state.source));
  }
  archive.write(kDrawNamesKey, c10::IValue(names));
  archive.write(kDrawKindsKey, c10::IValue(kinds));
  archive.write(kDrawNumbersKey, c10::IValue(numbers));
  archive.write(kDrawSourcesKey, c10::IValue(sources));
}

void DrawStates::load(torch::serialize::InputArchive& archive) {
  const auto names = read_draws<std::string>(archive, kDrawNamesKey);
  const auto kinds = read_draws<std::string>(archive, kDrawKindsKey);
  const auto numbers = read_draws<int64_t>(archive, kDrawNumbersKey);
  TORCH_CHECK_VALUE(
      kinds.size() == names.size() && numbers.size() == 2 * names.size(),
      "DrawStates::load: expected a kind and two numbers for each of ",
      names.size(),
      " names, got ",
      kinds.size(),
      " kinds and ",
      numbers.size(),
      " numbers");
  c10::IValue has_sources;
  const auto sources = archive.try_read(kDrawSourcesKey, has_sources)
                           ? read_draws<int64_t>(archive, kDrawSourcesKey)
                           : std::vector<int64_t>(names.size());
  TORCH_CHECK_VALUE(
      sources.size() == names.size(),
      "DrawStates::load: expected a source for each of ",
      names.size(),
      " names, got ",
      sources.size());
  DrawStates loaded;
  for (size_t i = 0; i < names.size(); ++i) {
    loaded.add(
        names[i],
        {static_cast<uint64_t>(numbers[2 * i]),
         static_cast<uint64_t>(numbers[2 * i + 1]),
         static_cast<uint64_t>(sources[i])},
        kinds[i]);
  }
  *this = std::move(loaded);
}

DrawStates draw_states(const NetworkRef& root) {
  DrawStates states;
  each_draw_below(
      root.module("draw_states"),
      [&](std::string_view name, std::string_view kind, DrawState& state) {
        states.add(name, state, kind);
      });
  return states;
}

void set_draw_states(const NetworkRef& root, const DrawStates& states) {
  auto& network = root.module("set_draw_states");
  check_draw_kinds(draw_kinds(draw_states(root)), draw_kinds(states));
  each_draw_below(
      network,
      [&](std::string_view name, std::string_view kind, DrawState& state) {
        state = states.at(name, kind);
      });
}

void seed_draws(const NetworkRef& root, uint64_t seed) {
  each_draw_below(
      root.module("seed_draws"),
      [&](std::string_view name, std::string_view kind, DrawState& state) {
        state = {stream_seed(stream_seed(seed, kind), name), 0};
      });
}

}  // namespace gatedpaths
