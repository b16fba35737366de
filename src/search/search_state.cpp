// SPDX-License-Identifier: MIT
// What a search strategy saves, and how it goes on from that.
#include <gatedpaths/search/search_strategy.hpp>

#include "../text/error_text.hpp"
#include "path_proposer.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/tensor.h>
#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace gatedpaths {
namespace {

at::Tensor tensor_of_integers(const std::vector<int64_t>& numbers) {
  return at::tensor(numbers, at::kLong);
}

// For each reached gate, how many branches are open, and which.
void append_choices(const Path& path, std::vector<int64_t>& choices) {
  for (const auto& [gate, open] : path) {
    choices.push_back(static_cast<int64_t>(open.size()));
    choices.insert(choices.end(), open.begin(), open.end());
  }
}

// Reads what append_choices wrote, one path a call.
class ChoiceReader {
 public:
  ChoiceReader(const SpaceLayout& layout, c10::IntArrayRef choices)
      : layout_(layout), rest_(choices) {}

  bool at_end() const { return rest_.empty(); }

  Path next() {
    return layout_.make_path([this](int64_t, std::vector<int64_t>& open) {
      const auto size = static_cast<size_t>(take(1).front());
      const auto set = take(size);
      open.assign(set.begin(), set.end());
    });
  }

 private:
  c10::IntArrayRef take(size_t count) {
    TORCH_CHECK_VALUE(
        count <= rest_.size(),
        "expected ",
        count,
        " more numbers of paths, got ",
        rest_.size());
    const auto taken = rest_.slice(0, count);
    rest_ = rest_.slice(count);
    return taken;
  }

  const SpaceLayout& layout_;
  c10::IntArrayRef rest_;
};

// What a strategy saves beside these: key, type.
class StateReader {
 public:
  StateReader(torch::serialize::InputArchive& archive, std::string caller)
      : archive_(archive), caller_(std::move(caller)) {}

  c10::IValue value(const std::string& key) {
    c10::IValue value;
    TORCH_CHECK_VALUE(
        archive_.try_read(key, value),
        fmt::format(
            "{}: expected an archive with '{}', got one without",
            caller_,
            key));
    return value;
  }

  std::string text(const std::string& key) {
    const auto read = value(key);
    check(read.isString(), key, "a text");
    return read.toStringRef();
  }

  int64_t integer(const std::string& key) {
    const auto read = value(key);
    check(read.isInt(), key, "an integer");
    return read.toInt();
  }

  at::Tensor tensor(const std::string& key, at::ScalarType type) {
    const auto read = value(key);
    check(
        read.isTensor() && read.toTensor().defined() &&
            read.toTensor().dim() == 1 && read.toTensor().scalar_type() == type,
        key,
        "a tensor of one dim");
    return read.toTensor().cpu().contiguous();
  }

  std::vector<int64_t> integers(const std::string& key) {
    const auto read = tensor(key, at::kLong);
    const auto* data = read.const_data_ptr<int64_t>();
    return {data, data + read.numel()};
  }

  std::vector<double> doubles(const std::string& key) {
    const auto read = tensor(key, at::kDouble);
    const auto* data = read.const_data_ptr<double>();
    return {data, data + read.numel()};
  }

  void check(bool is_so, const std::string& key, std::string_view expected) {
    TORCH_CHECK_VALUE(
        is_so,
        fmt::format(
            "{}: expected {} as '{}', got another value",
            caller_,
            expected,
            key));
  }

 private:
  torch::serialize::InputArchive& archive_;
  std::string caller_;
};

}  // namespace

struct SearchStrategy::Saved {
  uint64_t seed = 0;
  uint64_t step = 0;
  uint64_t asked = 0;
  std::vector<Path> paths{};
  std::vector<int64_t> asked_as{};
  std::vector<int64_t> waits{};
  std::vector<int64_t> told{};
  std::vector<double> values{};
  std::vector<int64_t> numbers{};
};

void SearchStrategy::save(torch::serialize::OutputArchive& archive) const {
  std::vector<int64_t> choices;
  std::vector<int64_t> asked_as;
  std::vector<int64_t> waits;
  for (const Known& known : known_) {
    append_choices(*known.path, choices);
    asked_as.push_back(static_cast<int64_t>(known.asked_as));
    waits.push_back(known.waits);
  }
  std::vector<int64_t> told;
  for (const Told& result : told_) {
    told.push_back(static_cast<int64_t>(result.path));
  }
  archive.write("strategy", c10::IValue(text_));
  archive.write("space", c10::IValue(fmt::format("{:016x}", layout_->hash())));
  archive.write("seed", c10::IValue(static_cast<int64_t>(state_.seed)));
  archive.write("step", c10::IValue(static_cast<int64_t>(state_.step)));
  archive.write("asked", c10::IValue(static_cast<int64_t>(asked_)));
  archive.write("paths", c10::IValue(tensor_of_integers(choices)));
  archive.write("asked_as", c10::IValue(tensor_of_integers(asked_as)));
  archive.write("waits", c10::IValue(tensor_of_integers(waits)));
  archive.write("told", c10::IValue(tensor_of_integers(told)));
  archive.write("values", c10::IValue(at::tensor(values_, at::kDouble)));
  archive.write("numbers", c10::IValue(tensor_of_integers(numbers())));
}

SearchStrategy::Saved SearchStrategy::read(
    torch::serialize::InputArchive& archive) const {
  StateReader reader(archive, name_ + "::load");
  const std::string strategy = reader.text("strategy");
  TORCH_CHECK_VALUE(
      strategy == text_,
      fmt::format(
          "{}::load: expected the state of {}, got that of {}",
          name_,
          text_,
          strategy));
  const std::string space = reader.text("space");
  const std::string hash = fmt::format("{:016x}", layout_->hash());
  TORCH_CHECK_VALUE(
      space == hash,
      fmt::format(
          "{}::load: expected a state for the space with the hash {}, got one "
          "for {}",
          name_,
          hash,
          space));
  Saved saved;
  saved.seed = static_cast<uint64_t>(reader.integer("seed"));
  saved.step = static_cast<uint64_t>(reader.integer("step"));
  saved.asked = static_cast<uint64_t>(reader.integer("asked"));
  saved.asked_as = reader.integers("asked_as");
  saved.waits = reader.integers("waits");
  saved.told = reader.integers("told");
  saved.values = reader.doubles("values");
  saved.numbers = reader.integers("numbers");
  const auto choices = reader.integers("paths");
  ChoiceReader paths(*layout_, choices);
  try {
    for (size_t i = 0; i < saved.asked_as.size(); ++i) {
      saved.paths.push_back(paths.next());
    }
  } catch (const c10::Error& error) {
    TORCH_CHECK_VALUE(
        false,
        fmt::format(
            "{}::load: expected {} paths of the space, got: {}",
            name_,
            saved.asked_as.size(),
            detail::first_line(error)));
  }

  const auto count = static_cast<int64_t>(saved.paths.size());
  const auto results = static_cast<int64_t>(saved.told.size());
  reader.check(paths.at_end(), "paths", "as many paths as there are");
  reader.check(
      saved.waits.size() == saved.paths.size(), "waits", "one for each path");
  reader.check(
      std::all_of(
          saved.told.begin(),
          saved.told.end(),
          [&](int64_t path) { return 0 <= path && path < count; }),
      "told",
      "numbers of paths");
  reader.check(
      saved.values.size() == saved.told.size() * num_objectives(),
      "values",
      "one for each result and objective");
  for (size_t i = 0; i < saved.values.size(); i += num_objectives()) {
    const auto begin = saved.values.begin() + static_cast<int64_t>(i);
    const auto end = begin + static_cast<int64_t>(num_objectives());
    reader.check(
        std::all_of(begin, end, [](double x) { return std::isfinite(x); }) ||
            std::all_of(begin, end, [](double x) { return std::isnan(x); }),
        "values",
        "finite values, or none of a result");
  }
  reader.check(
      are_numbers(saved.numbers, results, count),
      "numbers",
      "those of such a strategy");
  return saved;
}

void SearchStrategy::load(torch::serialize::InputArchive& archive) {
  const Saved saved = read(archive);
  decltype(numbers_) numbers;
  std::vector<Known> known;
  for (size_t i = 0; i < saved.paths.size(); ++i) {
    const auto [place, is_new] = numbers.try_emplace(saved.paths[i], i);
    TORCH_CHECK_VALUE(
        is_new,
        fmt::format(
            "{}::load: expected different paths, got {} twice",
            name_,
            layout_->to_string(saved.paths[i])));
    known.push_back(
        {&place->first,
         static_cast<uint64_t>(saved.asked_as[i]),
         saved.waits[i]});
  }

  forget();
  state_.seed = saved.seed;
  state_.step = saved.step;
  numbers_ = std::move(numbers);
  known_ = std::move(known);
  asked_ = saved.asked;
  exhausted_ = false;
  failures_ = 0;
  told_.clear();
  values_ = saved.values;
  // What is learned of a result may depend on those before, not after it.
  for (size_t i = 0; i < saved.told.size(); ++i) {
    const bool failed = std::isnan(values_[i * num_objectives()]);
    told_.push_back({static_cast<size_t>(saved.told[i]), failed});
    failures_ += failed ? 1 : 0;
    learn(i);
  }
  set_numbers(saved.numbers);
}

}  // namespace gatedpaths
