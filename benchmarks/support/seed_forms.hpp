// SPDX-License-Identifier: MIT
// The training step of the seed net in each of its forms.
#pragma once

#include "support/seed_net.hpp"

#include <torch/optim/sgd.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

enum class Form {
  kBare,
  kHandMask,
  kHandNoGrad,
  kHandZeroFill,
  kHandZerosLike,
  kNoGrad,
  kZeroFillDense,
  kSlots,
  kDerived,
  kDerivedDense,
};

/// With one of several paths open.
inline constexpr std::array kForms = {
    Form::kBare,
    Form::kHandMask,
    Form::kHandNoGrad,
    Form::kHandZeroFill,
    Form::kHandZerosLike,
    Form::kNoGrad,
    Form::kZeroFillDense,
    Form::kSlots,
};

/// With one path for good: the first.
inline constexpr std::array kOnePathForms = {
    Form::kBare,
    Form::kHandZeroFill,
    Form::kDerived,
    Form::kDerivedDense,
};

/// The form in row names, e.g. "hand_zero_fill".
std::string_view form_name(Form form);

struct SeedSettings {
  std::int64_t branches = 2;
  std::int64_t batch = 4;
  std::int64_t width = 1;
  int threads = 1;
};

/// `closed_paths/slots/branches:8/batch:64/width:1/threads:1`. Rows of `kBare`
/// have the branches too: those of the rows that they stand beside.
std::string row_name(
    std::string_view topic, Form form, const SeedSettings& settings);

/// One net, one batch, and SGD with momentum and weight decay.
class Training {
 public:
  Training(const Training&) = delete;
  Training& operator=(const Training&) = delete;
  virtual ~Training() = default;

  /// A full step with path `branch` open: clear, forward, loss, backward,
  /// update.
  void step(std::int64_t branch) {
    open(branch);
    clear();
    loss(net_->forward(images_)).backward();
    update();
  }

  /// The step without its update; gives the logits.
  torch::Tensor step_without_update(std::int64_t branch);

  SeedNet& net() { return *net_; }

  /// Makes the momentum of every parameter, as many steps leave it behind.
  void make_momentum();

 protected:
  Training(std::shared_ptr<SeedNet> net, const SeedSettings& settings);

  virtual void open(std::int64_t branch) = 0;
  virtual void clear() { optimizer_.zero_grad(); }
  virtual void update() { optimizer_.step(); }

  torch::optim::SGD& optimizer() { return optimizer_; }

 private:
  torch::Tensor loss(const torch::Tensor& logits) const;

  std::shared_ptr<SeedNet> net_;
  torch::optim::SGD optimizer_;
  torch::Tensor images_;
  torch::Tensor labels_;
};

/// The same weights and batch at each call.
std::unique_ptr<Training> make_training(
    Form form, const SeedSettings& settings);

/// Which path is open in each of a long run of steps; the last one, where it is
/// the same in all.
std::vector<std::int64_t> open_branches(
    const SeedSettings& settings, bool same_path);

/// Holds the outputs and gradients of all forms, and the weights after a step,
/// against each other; throws where one is wrong.
void check_forms(const SeedSettings& settings);

/// The same for those with one path, against the bare net.
void check_one_path_forms(const SeedSettings& settings);

}  // namespace bench
