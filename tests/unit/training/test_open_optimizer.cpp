// SPDX-License-Identifier: MIT
#include <gatedpaths/training/open_optimizer.hpp>

#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>
#include <gatedpaths/paths/uniform_sampler.hpp>
#include <gatedpaths/slots/slot_batch_norm.hpp>
#include <gatedpaths/slots/slot_linear.hpp>

#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/lbfgs.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/fake_gate.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using gatedpaths::ChoiceBlock;
using gatedpaths::ChoiceBlockOptions;
using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::GatedBranch;
using gatedpaths::GatedModule;
using gatedpaths::OpenOptimizer;
using gatedpaths::PathSpace;
using gatedpaths::SlotBatchNorm1d;
using gatedpaths::SlotBatchNormOptions;
using gatedpaths::SlotLinear;
using gatedpaths::SlotLinearOptions;
using gatedpaths::UniformSampler;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::bit_equal;
using gatedpaths::test::copies_of;
using gatedpaths::test::gradients_of;
using gatedpaths::test::message_of;
using gatedpaths::test::none_defined;
using gatedpaths::test::Tensors;

namespace {

using torch::nn::Linear;
using torch::nn::Sequential;
using Groups = std::vector<torch::optim::OptimizerParamGroup>;
using OptimizerPtr = std::unique_ptr<torch::optim::Optimizer>;

// Everything that a gate can be: nested, with a child that two branches share
// and one that stands outside of gates too, and layers on slots.
struct StepNetImpl : torch::nn::Module {
  explicit StepNetImpl(bool coast = false) {
    torch::manual_seed(1);
    stem = register_module("stem", Linear(4, 6));
    tied = register_module("tied", Linear(6, 6));
    inner = ChoiceBlock<>(
        {{"x", Linear(3, 3)}, {"y", Linear(3, 3)}, {"z", Linear(3, 3)}});
    const Linear shared(6, 2);
    gate = register_module(
        "gate",
        ConcatGate<>(
            ConcatGateOptions(1),
            {{"a", shared},
             {"b", Sequential(Linear(6, 3), inner)},
             {"c", shared},
             {"d", Linear(6, 4)}}));
    norm = register_module(
        "norm", SlotBatchNorm1d(SlotBatchNormOptions({2, 3, 2, 4}, 11)));
    fc = register_module(
        "fc", SlotLinear(SlotLinearOptions({2, 3, 2, 4}, 6).coast(coast)));
    block = register_module(
        "block",
        ChoiceBlock<>(
            ChoiceBlockOptions().max_open(2),
            {{"p", Linear(6, 6)}, {"tied", tied}, {"r", Linear(6, 6)}}));
    last = register_module("last", GatedBranch<Linear>(Linear(6, 6)));
    scale = register_parameter("scale", torch::ones({1}));
  }
  torch::Tensor forward(const torch::Tensor& x) {
    const auto stemmed = tied->forward(stem->forward(x).tanh());
    const auto slots = norm->forward(gate->forward_slots(stemmed));
    const auto hidden = block->forward(fc->forward(slots).tanh());
    return (hidden + last->forward(hidden)) * scale;
  }

  Linear stem = nullptr;
  Linear tied = nullptr;
  ChoiceBlock<> inner = nullptr;
  ConcatGate<> gate = nullptr;
  SlotBatchNorm1d norm = nullptr;
  SlotLinear fc = nullptr;
  ChoiceBlock<> block = nullptr;
  GatedBranch<Linear> last = nullptr;
  torch::Tensor scale;
};
TORCH_MODULE(StepNet);

// All parameters once, though modules are shared.
Tensors once(const torch::nn::Module& net) {
  Tensors result;
  std::set<const void*> seen;
  for (const auto& parameter : net.parameters()) {
    if (seen.insert(parameter.unsafeGetTensorImpl()).second) {
      result.push_back(parameter);
    }
  }
  return result;
}

// Steps against the sign of the gradient, with a momentum in its own state.
class SignOptimizer : public torch::optim::Optimizer {
 public:
  explicit SignOptimizer(const Groups& groups)
      : Optimizer(groups, std::make_unique<torch::optim::SGDOptions>(0.01)) {}

  torch::Tensor step(LossClosure closure = nullptr) override {
    const torch::NoGradGuard no_grad;
    seen = 0;
    for (auto& group : param_groups_) {
      for (auto& parameter : group.params()) {
        ++seen;
        if (!parameter.grad().defined()) {
          continue;
        }
        TORCH_CHECK(++stepped != throws_at, "SignOptimizer: told to throw");
        auto& state = state_[parameter.unsafeGetTensorImpl()];
        if (!state) {
          auto fresh = std::make_unique<torch::optim::SGDParamState>();
          fresh->momentum_buffer(torch::zeros_like(parameter));
          state = std::move(fresh);
        }
        auto& momentum = dynamic_cast<torch::optim::SGDParamState&>(*state);
        momentum.momentum_buffer().mul_(0.9).add_(parameter.grad());
        parameter.sub_(
            momentum.momentum_buffer().sign(), group.options().get_lr());
      }
    }
    return closure ? closure() : torch::Tensor();
  }
  void save(torch::serialize::OutputArchive&) const override {}
  void load(torch::serialize::InputArchive&) override {}

  int64_t seen = 0;  // parameters in the last step
  int64_t stepped = 0;
  int64_t throws_at = -1;
};

OptimizerPtr make_optimizer(const std::string& name, const Groups& groups) {
  using namespace torch::optim;
  if (name == "SGD") {
    return std::make_unique<SGD>(
        groups,
        SGDOptions(0.05).momentum(0.9).weight_decay(0.1).nesterov(true));
  }
  if (name == "Adam") {
    return std::make_unique<Adam>(
        groups, AdamOptions(0.01).weight_decay(0.1).amsgrad(true));
  }
  if (name == "AdamW") {
    return std::make_unique<AdamW>(
        groups, AdamWOptions(0.01).weight_decay(0.1));
  }
  if (name == "RMSprop") {
    return std::make_unique<RMSprop>(
        groups, RMSpropOptions(0.01).momentum(0.9).weight_decay(0.1));
  }
  if (name == "Adagrad") {
    return std::make_unique<Adagrad>(
        groups, AdagradOptions(0.05).lr_decay(0.01).weight_decay(0.1));
  }
  return std::make_unique<SignOptimizer>(groups);
}

OptimizerPtr sgd_of(const Tensors& parameters) {
  return make_optimizer("SGD", {Groups::value_type(parameters)});
}

// One of two equal runs: by the optimizer's own calls over everything, or by a
// OpenOptimizer.
class Run {
 public:
  using Make = std::function<OptimizerPtr(const StepNet& net)>;

  Run(bool by_path, const Make& make, bool coast = false)
      : net(coast), space(net), optimizer(make(net)) {
    if (by_path) {
      steps = std::make_unique<OpenOptimizer>(net.ptr(), space, *optimizer);
    }
  }

  void apply(const gatedpaths::Path& path) {
    steps ? steps->apply(path) : space.apply(path);
  }
  void zero_grad() { steps ? steps->zero_grad() : optimizer->zero_grad(); }
  Tensors parameters() { return steps ? steps->parameters() : once(*net); }
  torch::Tensor step(torch::optim::Optimizer::LossClosure closure = nullptr) {
    return steps ? steps->step(closure) : optimizer->step(closure);
  }
  torch::Tensor loss(uint64_t seed) {
    torch::manual_seed(seed);
    return net->forward(torch::randn({5, 4})).square().mean();
  }

  StepNet net;
  PathSpace space;
  OptimizerPtr optimizer;
  std::unique_ptr<OpenOptimizer> steps;
};

// 20 steps of `step(run, number, sampler)` by both ways give equal bits.
void check_runs_equal(
    const Run::Make& make,
    const std::function<void(Run&, uint64_t, const UniformSampler&)>& step,
    bool coast = false) {
  Run plain(false, make, coast);
  Run by_path(true, make, coast);
  const auto start = copies_of(once(*plain.net));
  const UniformSampler sampler(plain.space, 7);
  for (uint64_t s = 0; s < 20; ++s) {
    CAPTURE(s);
    step(plain, s, sampler);
    step(by_path, s, sampler);
    REQUIRE(all_bit_equal(once(*plain.net), once(*by_path.net)));
    REQUIRE(
        all_bit_equal(gradients_of(*plain.net), gradients_of(*by_path.net)));
  }
  CHECK_FALSE(all_bit_equal(start, once(*plain.net)));
  const auto& groups = plain.optimizer->param_groups();
  const auto& groups_by_path = by_path.optimizer->param_groups();
  REQUIRE(groups.size() == groups_by_path.size());
  for (size_t g = 0; g < groups.size(); ++g) {
    CHECK(groups[g].params().size() == groups_by_path[g].params().size());
  }
  CHECK(plain.optimizer->state().size() == by_path.optimizer->state().size());
}

void plain_step(Run& run, uint64_t s, const UniformSampler& sampler) {
  run.apply(sampler.at(s));
  run.zero_grad();
  run.loss(s).backward();
  run.step();
}

OptimizerPtr sgd_of_net(const StepNet& net) { return sgd_of(once(*net)); }

std::set<std::string> names_of(
    const torch::nn::Module& net, const Tensors& parameters) {
  std::set<std::string> names;
  for (const auto& item : net.named_parameters()) {
    for (const auto& parameter : parameters) {
      if (parameter.is_same(item.value())) {
        names.insert(item.key());
      }
    }
  }
  return names;
}

// Branches that are no direct children.
class ListGate : public torch::nn::Module, public GatedModule {
 public:
  ListGate() {
    init_gates("ListGate", {"a", "b"}, 1, 1);
    list = register_module(
        "list", torch::nn::ModuleList(Linear(2, 2), Linear(2, 2)));
  }
  const torch::nn::Module& branch_module(int64_t index) const override {
    return *list->ptr(static_cast<size_t>(index));
  }
  std::string_view gate_kind() const noexcept override { return "ListGate"; }

  torch::nn::ModuleList list;
};

}  // namespace

TEST_CASE(
    "OpenOptimizer: steps as the optimizer does, bit for bit",
    "[open_optimizer]") {
  const std::string name =
      GENERATE("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "a user's");
  CAPTURE(name);
  check_runs_equal(
      [&](const StepNet& net) {
        return make_optimizer(name, {Groups::value_type(once(*net))});
      },
      plain_step);
}

TEST_CASE(
    "OpenOptimizer: steps coasting weights of closed slots",
    "[open_optimizer]") {
  check_runs_equal(sgd_of_net, plain_step, /*coast=*/true);
}

TEST_CASE(
    "OpenOptimizer: keeps each parameter group's options", "[open_optimizer]") {
  const bool all = GENERATE(true, false);
  CAPTURE(all);
  check_runs_equal(
      [&](const StepNet& net) -> OptimizerPtr {
        using torch::optim::SGDOptions;
        Tensors first;
        Tensors second;
        for (const auto& parameter : once(*net)) {
          (parameter.dim() > 1 ? first : second).push_back(parameter);
        }
        if (!all) {  // some stay out
          first.pop_back();
          second.erase(second.begin());
        }
        auto sgd = std::make_unique<torch::optim::SGD>(
            Groups{Groups::value_type(
                first,
                std::make_unique<SGDOptions>(
                    SGDOptions(0.02).momentum(0.9).weight_decay(0.1)))},
            SGDOptions(0.02));
        sgd->add_param_group(Groups::value_type(
            second,
            std::make_unique<SGDOptions>(SGDOptions(0.3).momentum(0.5))));
        return sgd;
      },
      plain_step);
}

TEST_CASE(
    "OpenOptimizer: steps parameters that are not in the network",
    "[open_optimizer]") {
  std::vector<torch::Tensor> outside;
  check_runs_equal(
      [&](const StepNet& net) {
        outside.push_back(torch::ones({1}).requires_grad_());
        auto all = once(*net);
        all.push_back(outside.back());
        return sgd_of(all);
      },
      [&](Run& run, uint64_t s, const UniformSampler& sampler) {
        auto& own = outside[run.steps ? 1 : 0];
        run.apply(sampler.at(s));
        run.zero_grad();
        CHECK_FALSE(own.grad().defined());
        (run.loss(s) * own + own.square()).backward();
        run.step();
      });
  CHECK(bit_equal(outside[0], outside[1]));
  CHECK_FALSE(bit_equal(outside[0], torch::ones({1})));
}

TEST_CASE(
    "OpenOptimizer: gradients can be cleared before the backward",
    "[open_optimizer]") {
  SECTION("after the forward") {
    check_runs_equal(
        sgd_of_net, [](Run& run, uint64_t s, const UniformSampler& sampler) {
          run.apply(sampler.at(s));
          const auto loss = run.loss(s);
          run.zero_grad();
          loss.backward();
          run.step();
        });
  }
  SECTION("after the forwards of several paths") {
    check_runs_equal(
        sgd_of_net, [](Run& run, uint64_t s, const UniformSampler& sampler) {
          torch::Tensor loss = torch::zeros({});
          for (uint64_t path = 0; path < 3; ++path) {
            run.apply(sampler.at(3 * s + path));
            loss = loss + run.loss(s + path);
          }
          run.zero_grad();
          loss.backward();
          run.step();
        });
  }
  SECTION("after the step") {
    check_runs_equal(
        sgd_of_net, [](Run& run, uint64_t s, const UniformSampler& sampler) {
          run.apply(sampler.at(s));
          run.loss(s).backward();
          run.step();
          run.zero_grad();
        });
  }
}

TEST_CASE(
    "OpenOptimizer: accumulates over several paths before one step",
    "[open_optimizer]") {
  check_runs_equal(
      sgd_of_net, [](Run& run, uint64_t s, const UniformSampler& sampler) {
        run.zero_grad();
        for (uint64_t path = 0; path < 3; ++path) {
          run.apply(sampler.at(3 * s + path));
          run.loss(s + path).backward();
        }
        run.step();
        run.step();  // again with the same gradients
      });
}

TEST_CASE(
    "OpenOptimizer: clips the norm over what was open", "[open_optimizer]") {
  std::vector<double> norms[2];
  check_runs_equal(
      sgd_of_net, [&](Run& run, uint64_t s, const UniformSampler& sampler) {
        run.apply(sampler.at(s));
        run.zero_grad();
        run.loss(s).backward();
        norms[run.steps ? 1 : 0].push_back(
            torch::nn::utils::clip_grad_norm_(run.parameters(), 0.05));
        run.step();
      });
  CHECK(norms[0] == norms[1]);
  CHECK(*std::max_element(norms[0].begin(), norms[0].end()) > 0.05);
}

TEST_CASE(
    "OpenOptimizer: remembers what gates drew by themselves",
    "[open_optimizer]") {
  const bool accumulate = GENERATE(false, true);
  CAPTURE(accumulate);
  check_runs_equal(
      sgd_of_net, [&](Run& run, uint64_t s, const UniformSampler&) {
        if (s == 0) {
          run.net->gate->draw_each_forward(3);
          run.net->inner->draw_each_forward(4);
          run.net->block->draw_each_forward(5);
        }
        run.zero_grad();
        for (uint64_t forward = 0; forward < (accumulate ? 3 : 1); ++forward) {
          run.loss(s + forward).backward();
          if (run.steps) {
            run.steps->remember();
          }
        }
        run.step();
      });
}

TEST_CASE("OpenOptimizer: runs a closure once", "[open_optimizer]") {
  int calls = 0;
  check_runs_equal(
      sgd_of_net, [&](Run& run, uint64_t s, const UniformSampler& sampler) {
        run.apply(sampler.at(s));
        torch::Tensor inside;
        const torch::NoGradGuard no_grad;  // which a step lifts
        const auto loss = run.step([&] {
          ++calls;
          run.zero_grad();
          inside = run.loss(s);
          inside.backward();
          return inside;
        });
        CHECK(loss.is_same(inside));
      });
  CHECK(calls == 40);
}

TEST_CASE(
    "OpenOptimizer: its step without a closure gives no loss",
    "[open_optimizer]") {
  Run run(true, sgd_of_net);
  run.loss(1).backward();
  CHECK_FALSE(run.step().defined());
}

TEST_CASE(
    "OpenOptimizer: an error in a step leaves the groups whole",
    "[open_optimizer][error]") {
  Run run(true, [](const StepNet& net) {
    return make_optimizer("a user's", {Groups::value_type(once(*net))});
  });
  auto& optimizer = dynamic_cast<SignOptimizer&>(*run.optimizer);
  const Tensors all = optimizer.param_groups()[0].params();
  run.loss(1).backward();
  optimizer.throws_at = 3;
  CHECK(message_of<c10::Error>([&] {
          run.step();
        }) == "SignOptimizer: told to throw");
  const auto& after = optimizer.param_groups()[0].params();
  REQUIRE(after.size() == all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    CHECK(after[i].is_same(all[i]));
  }
  const auto before = copies_of(once(*run.net));
  run.step();
  CHECK_FALSE(all_bit_equal(once(*run.net), before));

  optimizer.stepped = 0;
  optimizer.throws_at = -1;
  CHECK(message_of<c10::Error>([&] {
          run.step([]() -> torch::Tensor { TORCH_CHECK(false, "no loss"); });
        }) == "no loss");
  CHECK(optimizer.stepped == 0);
  CHECK(optimizer.param_groups()[0].params().size() == all.size());
}

TEST_CASE(
    "OpenOptimizer: looks at what is open or was last only",
    "[open_optimizer]") {
  Run run(true, [](const StepNet& net) {
    return make_optimizer("a user's", {Groups::value_type(once(*net))});
  });
  const auto path_of = [&](const std::string& text) {
    return run.space.parse(text);
  };
  for (int i = 0; i < 3; ++i) {
    run.apply(path_of("gate=d;block=p;last="));
    run.zero_grad();
    run.loss(1).backward();
    run.step();
  }
  const std::set<std::string> outside = {
      "scale",
      "stem.weight",
      "stem.bias",
      "tied.weight",
      "tied.bias",
      "fc.bias"};
  auto expected = outside;
  expected.insert(
      {"gate.d.weight",
       "gate.d.bias",
       "norm.3.weight",
       "norm.3.bias",
       "fc.weight_3",
       "block.p.weight",
       "block.p.bias"});
  const auto names = names_of(*run.net, run.parameters());
  // A tied module has two names.
  auto own = names;
  own.erase("block.tied.weight");
  own.erase("block.tied.bias");
  CHECK(own == expected);
  CHECK(
      dynamic_cast<SignOptimizer&>(*run.optimizer).seen ==
      static_cast<int64_t>(expected.size()));
  // In the network's order.
  const auto all = once(*run.net);
  size_t position = 0;
  for (const auto& parameter : run.parameters()) {
    while (position < all.size() && !all[position].is_same(parameter)) {
      ++position;
    }
    CHECK(position < all.size());
  }
}

TEST_CASE(
    "OpenOptimizer: clears gradients from before it was made",
    "[open_optimizer]") {
  StepNet net;
  PathSpace space(net);
  net->gate->set_open({1, 3});
  net->forward(torch::randn({5, 4})).sum().backward();
  net->gate->set_open({0});
  const auto sgd = sgd_of_net(net);
  OpenOptimizer steps(net.ptr(), space, *sgd);
  steps.zero_grad();
  CHECK(none_defined(gradients_of(*net)));
}

TEST_CASE(
    "OpenOptimizer: a weight of a slot can be tied to one outside",
    "[open_optimizer]") {
  struct TiedNet : torch::nn::Module {
    TiedNet() {
      torch::manual_seed(1);
      gate = register_module(
          "gate",
          ConcatGate<>(
              ConcatGateOptions(1),
              {{"a", Linear(3, 2)}, {"b", Linear(3, 2)}}));
      fc = register_module("fc", SlotLinear(SlotLinearOptions({2, 2}, 3)));
      weight = register_parameter("weight", fc->weights[0]);
    }
    torch::Tensor forward(const torch::Tensor& x) {
      const auto y = fc->forward(gate->forward_slots(x));
      return y.matmul(weight);
    }
    ConcatGate<> gate = nullptr;
    SlotLinear fc = nullptr;
    torch::Tensor weight;
  };
  const auto plain = std::make_shared<TiedNet>();
  const auto by_path = std::make_shared<TiedNet>();
  const auto sgd = sgd_of(once(*plain));
  const auto sgd_by_path = sgd_of(once(*by_path));
  PathSpace space(by_path);
  OpenOptimizer steps(by_path, space, *sgd_by_path);
  for (int i = 0; i < 5; ++i) {
    const auto x = torch::randn({4, 3});
    plain->gate->set_open({1});
    sgd->zero_grad();
    plain->forward(x).square().mean().backward();
    sgd->step();
    by_path->gate->set_open({1});
    steps.zero_grad();
    by_path->forward(x).square().mean().backward();
    steps.step();
    REQUIRE(all_bit_equal(plain->parameters(), by_path->parameters()));
  }
  CHECK(steps.parameters().size() == 5);  // all but a's two
}

TEST_CASE(
    "OpenOptimizer: finds branches below a gate's children",
    "[open_optimizer]") {
  const auto gate = std::make_shared<ListGate>();
  const auto sgd = sgd_of(gate->parameters());
  OpenOptimizer steps(*gate, PathSpace(*gate), *sgd);
  gate->set_open({1});
  const auto& open =
      dynamic_cast<const torch::nn::LinearImpl&>(gate->branch_module(1));
  steps.zero_grad();
  const auto parameters = steps.parameters();
  REQUIRE(parameters.size() == 2);
  CHECK(parameters[0].is_same(open.weight));
  CHECK(parameters[1].is_same(open.bias));
}

TEST_CASE("OpenOptimizer: outlives its network's handle", "[open_optimizer]") {
  StepNet net;
  const auto sgd = sgd_of_net(net);
  const auto parameters = once(*net);
  OpenOptimizer steps(net.ptr(), PathSpace(net), *sgd);
  net = nullptr;
  for (const auto& parameter : parameters) {
    parameter.mutable_grad() = torch::ones_like(parameter);
  }
  steps.step();
  steps.zero_grad();
  CHECK_FALSE(parameters[0].grad().defined());
}

TEST_CASE(
    "OpenOptimizer: refuses groups that it does not know",
    "[open_optimizer][error]") {
  Run run(true, sgd_of_net);
  run.loss(1).backward();
  const auto before = copies_of(once(*run.net));
  const auto count = std::to_string(before.size());
  const auto more = torch::ones({1}).requires_grad_();
  SECTION("a group") {
    run.optimizer->add_param_group(Groups::value_type(Tensors{more}));
    CHECK(
        message_of<c10::Error>([&] { run.step(); }) ==
        "OpenOptimizer::step: expected the optimizer's 1 parameter groups, got "
        "2; make a new OpenOptimizer after adding groups");
  }
  SECTION("a parameter") {
    run.optimizer->param_groups()[0].params().push_back(more);
    CHECK(
        message_of<c10::Error>([&] { run.step(); }) ==
        "OpenOptimizer::step: expected the " + count +
            " parameters of the optimizer's group 0, got " +
            std::to_string(before.size() + 1) +
            "; make a new OpenOptimizer after adding parameters");
  }
  CHECK(all_bit_equal(once(*run.net), before));
}

TEST_CASE("OpenOptimizer: passes over an empty child", "[open_optimizer]") {
  const auto net = gatedpaths::test::holder();
  net->add("none", std::shared_ptr<torch::nn::Module>());
  const auto linear = net->add("linear", torch::nn::Linear(2, 2).ptr());
  const auto sgd = sgd_of(linear->parameters());
  OpenOptimizer steps(net, PathSpace(net), *sgd);
  CHECK(steps.parameters().size() == 2);
}

TEST_CASE(
    "OpenOptimizer: refuses what it cannot work with",
    "[open_optimizer][error]") {
  StepNet net;
  const auto sgd = sgd_of_net(net);
  torch::optim::LBFGS lbfgs(once(*net));
  CHECK(
      message_of<c10::ValueError>(
          [&] { OpenOptimizer(net.ptr(), PathSpace(net), lbfgs); }) ==
      "OpenOptimizer: expected an optimizer that treats each parameter by "
      "itself, got LBFGS");
  CHECK(message_of<c10::ValueError>([&] {
          OpenOptimizer(nullptr, PathSpace(net), *sgd);
        }) == "OpenOptimizer: expected a network, got none");
  CHECK(message_of<c10::ValueError>([&] {
          OpenOptimizer(StepNet(nullptr), PathSpace(net), *sgd);
        }) == "OpenOptimizer: expected a network, got none");
  CHECK(
      message_of<c10::ValueError>(
          [&] { OpenOptimizer(net.ptr(), PathSpace(net->block), *sgd); }) ==
      "OpenOptimizer: expected the space of the network, got one whose gate 0 "
      "('.') is none of the network's 4");
  StepNet twin;
  CHECK(
      message_of<c10::ValueError>(
          [&] { OpenOptimizer(net.ptr(), PathSpace(twin), *sgd); }) ==
      "OpenOptimizer: expected the space of the network, got one whose gate 0 "
      "('gate') is not the network's gate 'gate'");
  OpenOptimizer steps(net, PathSpace(net), *sgd);
  CHECK_THROWS_AS(
      steps.apply(PathSpace(net->block).current()), c10::ValueError);
}
