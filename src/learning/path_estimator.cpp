// SPDX-License-Identifier: MIT
#include <gatedpaths/learning/path_estimator.hpp>

#include <gatedpaths/exchange/checkpoint.hpp>
#include <gatedpaths/gates/branch_weighting.hpp>
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/sample_gated_module.hpp>
#include <gatedpaths/gates/stream_seed.hpp>

#include "../text/fnv1a.hpp"

#include <ATen/ops/tensor.h>
#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <string_view>

namespace gatedpaths {
namespace {

/// `, skip=kZeroFill`; nothing for gates that are not of this library.
std::string skip_text(const GatedModule& gate) {
  const auto* known = dynamic_cast<const SampleGatedModule*>(&gate);
  return known != nullptr ? fmt::format(", skip={}", to_string(known->skip()))
                          : std::string();
}

c10::IValue read_value(
    torch::serialize::InputArchive& archive,
    std::string_view estimator,
    const std::string& key) {
  c10::IValue value;
  TORCH_CHECK_VALUE(
      archive.try_read(key, value),
      fmt::format(
          "{}::load: expected an archive with '{}', got one without",
          estimator,
          key));
  return value;
}

}  // namespace

PathEstimator::PathEstimator(
    std::string name, PathLogits logits, PathSpace space, uint64_t seed)
    : name_(std::move(name)),
      logits_(std::move(logits)),
      space_(std::move(space)),
      state_{.seed = seed} {
  TORCH_CHECK_VALUE(
      !logits_.is_empty(),
      fmt::format("{}: expected logits, got an empty holder", name_));
  TORCH_CHECK_VALUE(
      logits_->layout() == *space_.layout(),
      fmt::format(
          "{}: expected logits of the space with the hash {:016x}, got logits "
          "of {:016x}",
          name_,
          space_.hash(),
          logits_->layout().hash()));
  state_.source =
      detail::Fnv1a().add(std::string_view(name_)).add(space_.hash()).value() |
      1U;
  check_draws("");
}

PathEstimator::~PathEstimator() { disarm(); }

Path PathEstimator::apply() {
  check_draws("::apply");
  const auto values = logits_->values();
  DrawState after = state_;
  Draw drawn = draw(values, after.take_step());
  disarm();
  space_.apply(drawn.path);
  for (const auto& [gate, branch] : drawn.beside) {
    space_.gate(gate).set_open({branch});
  }
  for (auto& [gate, weighting] : drawn.weightings) {
    ChoiceBlockBase* block = blocks_[static_cast<size_t>(gate)];
    block->set_weighting(weighting);
    armed_.push_back({block, std::move(weighting)});
  }
  state_ = after;
  applied_ = true;
  return std::move(drawn.path);
}

Path PathEstimator::apply_plain() {
  check_draws("::apply_plain");
  DrawState after = state_;
  Path path = logits_->draw(stream(), after.take_step());
  disarm();
  space_.apply(path);
  state_ = after;
  return path;
}

void PathEstimator::set_state(const DrawState& state) {
  state_.check_source(name_ + "::set_state", state);
  state_.seed = state.seed;
  state_.step = state.step;
}

torch::Tensor PathEstimator::objective(const torch::Tensor& loss) {
  TORCH_CHECK_VALUE(
      loss.defined() && loss.numel() == 1,
      fmt::format(
          "{}::objective: expected a loss of one element, got {}",
          name_,
          loss.defined() ? fmt::format("{}", loss.numel()) : "none"));
  return loss;
}

void PathEstimator::finish_step() { disarm(); }

uint64_t PathEstimator::stream() const {
  return stream_seed(state_.seed, name_);
}

void PathEstimator::disarm() noexcept {
  for (const Armed& armed : armed_) {
    // Another estimator may have armed the block since.
    if (armed.block->weighting() == armed.weighting) {
      armed.block->set_weighting(nullptr);
    }
  }
  armed_.clear();
  applied_ = false;
}

void PathEstimator::check_draws(std::string_view method) const {
  for (int64_t i = 0; i < space_.num_gates(); ++i) {
    const GatedModule& gate = space_.gate(i);
    TORCH_CHECK_VALUE(
        !gate.draw_state(),
        fmt::format(
            "{}{}: expected gates that keep to the applied path, got gate "
            "'{}', a {} that draws by itself in training; leave it out of the "
            "space, as PathSpace(net) does now, or call its stop_drawing",
            name_,
            method,
            space_.gate_name(i),
            gate.gate_kind()));
  }
}

void PathEstimator::find_blocks() {
  for (int64_t i = 0; i < space_.num_gates(); ++i) {
    GatedModule& gate = space_.gate(i);
    auto* block = dynamic_cast<ChoiceBlockBase*>(&gate);
    TORCH_CHECK_VALUE(
        block != nullptr && logits_->one_of(i),
        fmt::format(
            "{}: expected ChoiceBlocks with 1 open branch, got gate '{}', a "
            "{} with {} to {} of {} branches open{}: its closed branches have "
            "no output to take a gradient from; choose ReinforceEstimator, or "
            "a ChoiceBlock with a branch that stands for closed (as "
            "torch::nn::Identity)",
            name_,
            space_.gate_name(i),
            gate.gate_kind(),
            gate.min_open(),
            gate.max_open(),
            gate.num_branches(),
            skip_text(gate)));
    TORCH_CHECK_VALUE(
        block->options.closed_value() == ClosedValue::kZeros,
        fmt::format(
            "{}: expected closed_value=kZeros, got kDetached for gate '{}', "
            "where the closed branches' outputs are part of the sum; choose "
            "ReinforceEstimator, or closed_value=kZeros",
            name_,
            space_.gate_name(i)));
    blocks_.push_back(block);
  }
}

torch::Tensor PathEstimator::beside_logits(
    int64_t gate, const std::vector<double>& values) const {
  const torch::Tensor& logits = logits_->logits(gate);
  return at::tensor(values, at::kDouble)
      .to(logits.device(), logits.scalar_type());
}

void PathEstimator::save(torch::serialize::OutputArchive& archive) const {
  check_between_steps();
  archive.write("estimator", c10::IValue(name_));
  archive.write("space", c10::IValue(fmt::format("{:016x}", space_.hash())));
  archive.write("seed", c10::IValue(static_cast<int64_t>(state_.seed)));
  archive.write("step", c10::IValue(static_cast<int64_t>(state_.step)));
  for (const auto& [key, value] : numbers()) {
    archive.write(key, c10::IValue(value));
  }
  torch::serialize::OutputArchive logits(archive.compilation_unit());
  logits_->save(logits);
  archive.write("logits", logits);
}

void PathEstimator::check_origin(
    torch::serialize::InputArchive& archive) const {
  const std::string estimator =
      read_value(archive, name_, "estimator").toStringRef();
  TORCH_CHECK_VALUE(
      estimator == name_,
      fmt::format(
          "{}::load: expected the state of a {}, got that of a {}",
          name_,
          name_,
          estimator));
  const std::string hash = fmt::format("{:016x}", space_.hash());
  const std::string saved = read_value(archive, name_, "space").toStringRef();
  TORCH_CHECK_VALUE(
      saved == hash,
      fmt::format(
          "{}::load: expected the state for the space with the hash {}, got "
          "one for {}",
          name_,
          hash,
          saved));
}

void PathEstimator::load(torch::serialize::InputArchive& archive) {
  check_origin(archive);
  const auto read = [&](const std::string& key) {
    return read_value(archive, name_, key);
  };
  const DrawState state{
      static_cast<uint64_t>(read("seed").toInt()),
      static_cast<uint64_t>(read("step").toInt())};
  Numbers saved = numbers();
  for (auto& [key, value] : saved) {
    value = read(key).toDouble();
  }
  torch::serialize::InputArchive logits;
  TORCH_CHECK_VALUE(
      archive.try_read("logits", logits),
      fmt::format(
          "{}::load: expected an archive with 'logits', got one without",
          name_));
  check_numbers(saved);
  load_checked(*logits_, logits);
  forget_step();
  disarm();
  set_numbers(saved);
  set_state(state);
}

}  // namespace gatedpaths
