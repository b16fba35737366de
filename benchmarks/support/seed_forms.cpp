// SPDX-License-Identifier: MIT
#include "support/seed_forms.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros_like.h>
#include <c10/util/Exception.h>
#include <torch/utils.h>

#include <fmt/format.h>

#include <cstddef>
#include <optional>
#include <utility>

namespace bench {
namespace {

namespace gp = gatedpaths;

torch::optim::SGDOptions sgd_options() {
  return torch::optim::SGDOptions(/*lr=*/0.001)
      .momentum(0.9)
      .weight_decay(5e-4);
}

}  // namespace

std::string_view form_name(Form form) {
  switch (form) {
    case Form::kBare:
      return "bare";
    case Form::kHandMask:
      return "hand_mask";
    case Form::kHandNoGrad:
      return "hand_no_grad";
    case Form::kHandZeroFill:
      return "hand_zero_fill";
    case Form::kHandZerosLike:
      return "hand_zeros_like";
    case Form::kNoGrad:
      return "no_grad";
    case Form::kZeroFillDense:
      return "zero_fill_dense";
    case Form::kSlots:
      return "slots";
    case Form::kDerived:
      return "derived";
    case Form::kDerivedDense:
      return "derived_dense";
  }
  return "";
}

std::string row_name(
    std::string_view topic, Form form, const SeedSettings& settings) {
  return fmt::format(
      "{}/{}/branches:{}/batch:{}/width:{}/threads:{}",
      topic,
      form_name(form),
      settings.branches,
      settings.batch,
      settings.width,
      settings.threads);
}

// ---- One form's training ----

Training::Training(std::shared_ptr<SeedNet> net, const SeedSettings& settings)
    : net_(std::move(net)), optimizer_(net_->parameters(), sgd_options()) {
  torch::manual_seed(2);  // the same batch for all forms
  images_ = at::randn({settings.batch, 3, 32, 32});
  labels_ = at::randint(10, {settings.batch}, torch::kInt64);
  net_->train();
}

torch::Tensor Training::loss(const torch::Tensor& logits) const {
  return at::cross_entropy_loss(logits, labels_);
}

torch::Tensor Training::step_without_update(std::int64_t branch) {
  open(branch);
  clear();
  auto logits = net_->forward(images_);
  loss(logits).backward();
  return logits.detach();
}

void Training::make_momentum() {
  for (const auto& parameter : net_->parameters()) {
    auto state = std::make_unique<torch::optim::SGDParamState>();
    state->momentum_buffer(at::zeros_like(parameter));
    optimizer_.state()[parameter.unsafeGetTensorImpl()] = std::move(state);
  }
}

namespace {

class BareTraining : public Training {
 public:
  explicit BareTraining(const SeedSettings& settings)
      : Training(std::make_shared<BareNet>(settings.width), settings) {}

 protected:
  void open(std::int64_t /*branch*/) override {}
};

class HandTraining : public Training {
 public:
  HandTraining(HandForm form, const SeedSettings& settings)
      : HandTraining(
            std::make_shared<HandNet>(form, settings.branches, settings.width),
            settings) {}

 protected:
  void open(std::int64_t branch) override { hand_net_->open(branch); }

 private:
  HandTraining(std::shared_ptr<HandNet> net, const SeedSettings& settings)
      : Training(net, settings), hand_net_(std::move(net)) {}

  std::shared_ptr<HandNet> hand_net_;
};

std::vector<gp::Path> all_paths(const gp::PathSpace& space) {
  std::vector<gp::Path> paths;
  for (std::uint64_t i = 0; i < space.size(); ++i) {
    paths.push_back(space.at(i));
  }
  return paths;
}

class GateTraining : public Training {
 public:
  GateTraining(gp::Skip skip, const SeedSettings& settings)
      : Training(
            std::make_shared<GateNet>(skip, settings.branches, settings.width),
            settings),
        space_(net()),
        paths_(all_paths(space_)) {}

 protected:
  void open(std::int64_t branch) override {
    space_.apply(paths_[static_cast<std::size_t>(branch)]);
  }

 private:
  gp::PathSpace space_;
  std::vector<gp::Path> paths_;
};

/// The net of the first path alone, which LibTorch's own optimizer trains.
class DerivedTraining : public Training {
 public:
  template <class Net>
  DerivedTraining(
      const std::shared_ptr<Net>& supernet, const SeedSettings& settings)
      : Training(narrowed(supernet), settings) {}

 protected:
  void open(std::int64_t /*branch*/) override {}

 private:
  // What `derive` does to a copy.
  template <class Net>
  static std::shared_ptr<Net> narrowed(const std::shared_ptr<Net>& net) {
    const gp::PathSpace space(*net);
    gp::narrow(*net, space, space.at(0));
    return net;
  }
};

class SlotTraining : public Training {
 public:
  explicit SlotTraining(const SeedSettings& settings)
      : SlotTraining(
            std::make_shared<SlotNet>(settings.branches, settings.width),
            settings) {}

 protected:
  void open(std::int64_t branch) override {
    steps_.apply(paths_[static_cast<std::size_t>(branch)]);
  }
  void clear() override { steps_.zero_grad(); }
  void update() override { steps_.step(); }

 private:
  SlotTraining(std::shared_ptr<SlotNet> net, const SeedSettings& settings)
      : Training(net, settings),
        space_(*net),
        paths_(all_paths(space_)),
        steps_(net, space_, optimizer()) {}

  gp::PathSpace space_;
  std::vector<gp::Path> paths_;
  gp::OpenOptimizer steps_;
};

}  // namespace

std::unique_ptr<Training> make_training(
    Form form, const SeedSettings& settings) {
  torch::manual_seed(0);
  switch (form) {
    case Form::kBare:
      return std::make_unique<BareTraining>(settings);
    case Form::kHandMask:
      return std::make_unique<HandTraining>(HandForm::kMask, settings);
    case Form::kHandNoGrad:
      return std::make_unique<HandTraining>(HandForm::kNoGrad, settings);
    case Form::kHandZeroFill:
      return std::make_unique<HandTraining>(HandForm::kZeroFill, settings);
    case Form::kHandZerosLike:
      return std::make_unique<HandTraining>(HandForm::kZerosLike, settings);
    case Form::kNoGrad:
      return std::make_unique<GateTraining>(gp::Skip::kNoGrad, settings);
    case Form::kZeroFillDense:
      return std::make_unique<GateTraining>(gp::Skip::kZeroFill, settings);
    case Form::kSlots:
      return std::make_unique<SlotTraining>(settings);
    case Form::kDerived:
      return std::make_unique<DerivedTraining>(
          std::make_shared<SlotNet>(settings.branches, settings.width),
          settings);
    case Form::kDerivedDense:
      return std::make_unique<DerivedTraining>(
          std::make_shared<GateNet>(
              gp::Skip::kZeroFill, settings.branches, settings.width),
          settings);
  }
  return nullptr;
}

std::vector<std::int64_t> open_branches(
    const SeedSettings& settings, bool same_path) {
  constexpr std::int64_t kSteps = 997;
  if (same_path) {
    return std::vector<std::int64_t>(
        static_cast<std::size_t>(kSteps), settings.branches - 1);
  }
  torch::manual_seed(1);
  const auto drawn =
      at::randint(settings.branches, {kSteps}, torch::kInt64).contiguous();
  const auto* values = drawn.data_ptr<std::int64_t>();
  return {values, values + kSteps};
}

// ---- Are they right? ----

namespace {

/// What a step with one path open gave, in the same order for every form.
struct StepResult {
  std::vector<std::string> names;
  std::vector<torch::Tensor> values;

  void add(std::string name, const torch::Tensor& value) {
    names.push_back(std::move(name));
    values.push_back(value.defined() ? value.detach().clone() : value);
  }
};

void add_gradients(StepResult& result, SeedNet& net, std::int64_t path) {
  for (const auto& parameter : net.path(path)->named_parameters()) {
    result.add("gradient of " + parameter.key(), parameter.value().grad());
  }
  result.add("gradient of the slot's weight", net.slot_gradient(path));
  for (const auto& parameter : net.head()) {
    result.add("gradient behind the slots", parameter.grad());
  }
}

void add_weights(StepResult& result, SeedNet& net, std::int64_t path) {
  for (const auto& parameter : net.path(path)->named_parameters()) {
    result.add(parameter.key() + " after the step", parameter.value());
  }
  result.add("slot's weight after the step", net.slot_weight(path));
  for (const auto& parameter : net.head()) {
    result.add("weight behind the slots after the step", parameter);
  }
}

/// `path` is the open path's number in this form's net.
StepResult results(Training& training, std::int64_t branch, std::int64_t path) {
  StepResult result;
  result.add("logits", training.step_without_update(branch));
  add_gradients(result, training.net(), path);
  training.step(branch);
  add_weights(result, training.net(), path);
  return result;
}

void require_close(
    const StepResult& got,
    const StepResult& expected,
    Form of,
    const std::string& row) {
  TORCH_CHECK(got.values.size() == expected.values.size(), row);
  for (std::size_t i = 0; i < got.values.size(); ++i) {
    const auto& name = expected.names[i];
    TORCH_CHECK(
        got.values[i].defined() && expected.values[i].defined(),
        row,
        ": expected the ",
        name,
        ", got none");
    const auto scale = expected.values[i].abs().max().item<double>();
    const auto error =
        (got.values[i] - expected.values[i]).abs().max().item<double>();
    TORCH_CHECK(
        error <= 1e-4 * scale + 1e-7,
        row,
        ": expected the ",
        name,
        " of ",
        form_name(of),
        ", got a difference of ",
        error,
        " where the largest value is ",
        scale);
  }
}

/// But for the mask form, a closed path has no gradient at all.
void require_no_gradient(SeedNet& net, std::int64_t closed, bool slots) {
  for (const auto& parameter : net.path(closed)->named_parameters()) {
    TORCH_CHECK(
        !parameter.value().grad().defined(),
        "expected no gradient for ",
        parameter.key(),
        " of a closed path");
  }
  TORCH_CHECK(
      !slots || !net.slot_gradient(closed).defined(),
      "expected no gradient for the weight of an empty slot");
}

}  // namespace

void check_forms(const SeedSettings& settings) {
  at::set_num_threads(settings.threads);
  const auto open = settings.branches - 1;
  const auto weights = make_training(Form::kHandMask, settings);
  const auto results_of = [&](Form form, Training& training) {
    const bool bare = form == Form::kBare;
    copy_weights(
        weights->net(),
        training.net(),
        settings.branches,
        bare ? std::optional(open) : std::nullopt);
    return results(training, open, bare ? 0 : open);
  };
  const auto mask = make_training(Form::kHandMask, settings);
  const auto expected = results_of(Form::kHandMask, *mask);
  for (const auto form : kForms) {
    if (form == Form::kHandMask) {
      continue;
    }
    const auto training = make_training(form, settings);
    require_close(
        results_of(form, *training),
        expected,
        Form::kHandMask,
        row_name("check", form, settings));
    if (form != Form::kBare && settings.branches > 1) {
      require_no_gradient(training->net(), 0, form == Form::kSlots);
    }
  }
}

void check_one_path_forms(const SeedSettings& settings) {
  at::set_num_threads(settings.threads);
  const auto weights = make_training(Form::kBare, settings);
  const auto results_of = [&](Form form) {
    const auto training = make_training(form, settings);
    copy_weights(weights->net(), training->net(), settings.branches, 0);
    return results(*training, 0, 0);
  };
  const auto expected = results_of(Form::kBare);
  for (const auto form : kOnePathForms) {
    require_close(
        results_of(form),
        expected,
        Form::kBare,
        row_name("check", form, settings));
  }
}

}  // namespace bench
