// SPDX-License-Identifier: MIT
// What closed branches leave as it was, beside the random streams: buffers,
// gates, slots, training flags, weights.
#include <gatedpaths/depth/layer_drop.hpp>
#include <gatedpaths/gates/branch_weighting.hpp>
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/slots/slot_linear.hpp>

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/common.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/counting_child.hpp"
#include "support/errors.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using gatedpaths::AnyBranch;
using gatedpaths::BranchWeighting;
using gatedpaths::ChoiceBlock;
using gatedpaths::ChoiceBlockOptions;
using gatedpaths::ClosedValue;
using gatedpaths::ConcatGate;
using gatedpaths::ConcatGateOptions;
using gatedpaths::DrawState;
using gatedpaths::GatedBranch;
using gatedpaths::GatedBranchOptions;
using gatedpaths::LayerDrop;
using gatedpaths::LayerDropOptions;
using gatedpaths::PathSpace;
using gatedpaths::Skip;
using gatedpaths::SlotLinear;
using gatedpaths::SlotLinearOptions;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::bit_equal;
using gatedpaths::test::copies_of;
using gatedpaths::test::FunctionChild;
using gatedpaths::test::message_of;
using gatedpaths::test::Tensors;
using torch::nn::Identity;
using torch::nn::Linear;

namespace {

enum class ClosedBy { kBranch, kChoice, kConcat, kProbe, kSecondPath };

ClosedBy any_way_to_close() {
  return GENERATE(
      ClosedBy::kBranch,
      ClosedBy::kChoice,
      ClosedBy::kConcat,
      ClosedBy::kProbe,
      ClosedBy::kSecondPath);
}

// Has `child` run once while it is closed.
void run_closed_once(
    ClosedBy way, const AnyBranch& child, const torch::Tensor& x) {
  switch (way) {
    case ClosedBy::kConcat:
    case ClosedBy::kProbe: {
      ConcatGate<> gate(
          ConcatGateOptions(1).skip(
              way == ClosedBy::kProbe ? Skip::kZeroFill : Skip::kNoGrad),
          {{"a", child}});
      gate->set_open(std::initializer_list<int64_t>{});
      gate->forward(x);
      return;
    }
    case ClosedBy::kChoice: {
      ChoiceBlock<> block(
          ChoiceBlockOptions()
              .min_open(0)
              .skip(Skip::kNoGrad)
              .closed_value(ClosedValue::kDetached),
          {{"a", child}});
      block->set_open(std::initializer_list<int64_t>{});
      block->forward(x);
      return;
    }
    case ClosedBy::kBranch: {
      GatedBranch branch(
          FunctionChild([child](const torch::Tensor& input) {
            return child.forward(input);
          }),
          GatedBranchOptions().skip(Skip::kNoGrad));
      branch->child()->register_module("child", child.ptr());
      branch->set_open(false);
      branch->forward(x);
      return;
    }
    case ClosedBy::kSecondPath: {
      ChoiceBlock<> block(
          {{"a", FunctionChild([](const torch::Tensor& input) {
              return input * 1;
            })},
           {"b", child}});
      block->set_weighting(std::make_shared<BranchWeighting>(BranchWeighting{
          .logits = torch::zeros({2}).requires_grad_(),
          .active = 0,
          .other = 1}));
      block->forward(x);
      return;
    }
  }
}

// A child with a buffer, and a function of it and the input.
struct WithBufferImpl : torch::nn::Module {
  using Function =
      std::function<torch::Tensor(WithBufferImpl&, const torch::Tensor&)>;

  WithBufferImpl(const torch::Tensor& value, Function action)
      : buffer(register_buffer("buffer", value)), function(std::move(action)) {}

  torch::Tensor forward(const torch::Tensor& x) {
    ++calls;
    return function(*this, x);
  }

  torch::Tensor buffer;
  torch::Tensor view;   // not registered
  torch::Tensor other;  // registered where a test says so
  Function function;
  int calls = 0;
};
TORCH_MODULE(WithBuffer);

torch::Tensor some_buffer() {
  return torch::arange(12, torch::kFloat).view({3, 4});
}

torch::Tensor trace_input() { return torch::linspace(-1, 1, 8).view({2, 4}); }

// All that can be seen of a buffer.
struct BufferLook {
  explicit BufferLook(const torch::Tensor& tensor)
      : values(tensor.clone()),
        strides(tensor.strides().vec()),
        version(static_cast<int64_t>(tensor._version())) {}

  bool operator==(const BufferLook& other) const {
    return bit_equal(values, other.values) && strides == other.strides &&
           version == other.version;
  }

  torch::Tensor values;
  std::vector<int64_t> strides;
  int64_t version;
};

}  // namespace

TEST_CASE(
    "ClosedTraces: a buffer is put back whatever was done to it",
    "[closed_traces][forward]") {
  const auto way = any_way_to_close();
  CAPTURE(static_cast<int>(way));
  const bool inference = GENERATE(false, true);
  CAPTURE(inference);
  if (inference && way == ClosedBy::kSecondPath) {
    return;  // there is no gradient to learn from, so that it does not run
  }
  const std::vector<std::pair<std::string, WithBufferImpl::Function>> actions =
      {{"values",
        [](auto& child, const auto& x) {
          child.buffer.mul_(2);
          return x * 1;
        }},
       {"grown",
        [](auto& child, const auto& x) {
          child.buffer.resize_({50, 4}).fill_(3);
          return x * 1;
        }},
       {"shrunk and grown",
        [](auto& child, const auto& x) {
          child.buffer.resize_({1}).fill_(3);
          child.buffer.resize_({100}).fill_(4);
          return x * 1;
        }},
       {"set",
        [](auto& child, const auto& x) {
          child.buffer.set_(torch::ones({5}));
          return x * 1;
        }},
       {"data",
        [](auto& child, const auto& x) {
          child.buffer.set_data(torch::ones({5}, torch::kDouble));
          return x * 1;
        }},
       {"transposed",
        [](auto& child, const auto& x) {
          child.buffer.t_();
          return x * 1;
        }},
       {"a view",
        [](auto& child, const auto& x) {
          child.view.add_(1);
          return x * 1;
        }},
       {"a view that grew it",
        [](auto& child, const auto& x) {
          child.buffer.resize_({50, 4});
          child.view.add_(1);
          return x * 1;
        }},
       {"its memory", [](auto& child, const auto& x) {
          *child.view.template data_ptr<float>() = 9;
          return x * 1;
        }}};
  for (const auto& [name, action] : actions) {
    for (const bool transposed : {false, true}) {
      CAPTURE(name, transposed);
      WithBuffer child(
          transposed ? some_buffer().t() : some_buffer().clone(), action);
      if (name.find("view") != std::string::npos || name == "its memory") {
        child->view = child->buffer[0];
      }
      const BufferLook before(child->buffer);
      const auto* memory = child->buffer.data_ptr();
      {
        const c10::InferenceMode mode(inference);
        run_closed_once(way, child, trace_input());
      }
      CHECK(child->calls >= 1);
      CHECK(BufferLook(child->buffer) == before);
      if (!transposed && !child->view.defined()) {
        CHECK(child->buffer.data_ptr() == memory);
      }
      CHECK(child->named_buffers()["buffer"].is_same(child->buffer));
      if (child->view.defined()) {
        CHECK(bit_equal(child->view, child->buffer[0]));
        CHECK(child->view.data_ptr() == child->buffer.data_ptr());
      }
    }
  }
}

TEST_CASE(
    "ClosedTraces: buffers that share memory go on sharing it, closed too",
    "[closed_traces][forward]") {
  const auto value = GENERATE(ClosedValue::kZeros, ClosedValue::kDetached);
  const bool of_parameter = GENERATE(false, true);
  const bool expanded = GENERATE(false, true);
  CAPTURE(value, of_parameter, expanded);
  auto base = torch::arange(4, torch::kFloat);
  WithBuffer child(base, [](auto& self, const torch::Tensor& x) {
    self.view.mul_(2);  // of the memory of both
    self.buffer.add_(1);
    return x + self.other;
  });
  if (of_parameter) {
    base =
        child->register_parameter("weight", torch::arange(4).to(torch::kFloat));
    child->buffer.set_data(base.detach());
  }
  const auto whole = child->buffer.unsqueeze(0);
  child->other =
      child->register_buffer("other", expanded ? whole.expand({2, 4}) : whole);
  child->view = child->buffer.narrow(0, 1, 2);
  const auto x = trace_input();
  const Tensors all = {child->buffer, child->other, child->view, base};
  const auto before = copies_of(all);

  ConcatGate<> gate(
      ConcatGateOptions(1).skip(Skip::kNoGrad).closed_value(value),
      {{"a", child}});
  gate->set_open(std::initializer_list<int64_t>{});
  const auto closed = gate->forward(x);
  CHECK(all_bit_equal(all, before));
  gate->set_open({0});
  const auto open = gate->forward(x);
  CHECK(bit_equal(open, x + torch::tensor({1.0F, 3.0F, 5.0F, 4.0F})));
  CHECK(bit_equal(
      closed, value == ClosedValue::kZeros ? torch::zeros_like(open) : open));
  CHECK_FALSE(all_bit_equal(all, before));  // of the open run
}

TEST_CASE(
    "ClosedTraces: a graph with a buffer outlives a closed run that changes it",
    "[closed_traces][backward]") {
  const auto way = any_way_to_close();
  const bool has_view = GENERATE(false, true);
  CAPTURE(static_cast<int>(way), has_view);
  WithBuffer child(
      torch::arange(4, torch::kFloat), [](auto& self, const auto& x) {
        if (!torch::GradMode::is_enabled()) {
          self.buffer.mul_(2);
        }
        return x * self.buffer;
      });
  if (has_view) {
    child->view = child->buffer.narrow(0, 0, 2);
  }
  const auto x = trace_input().requires_grad_();
  const auto y = child->forward(x);
  run_closed_once(way, child, x);
  y.sum().backward();
  CHECK(bit_equal(x.grad(), torch::arange(4, torch::kFloat).expand({2, 4})));
}

TEST_CASE(
    "ClosedTraces: a module that stands twice in a branch is kept once",
    "[closed_traces][forward]") {
  const auto way = any_way_to_close();
  CAPTURE(static_cast<int>(way));
  torch::nn::BatchNorm1d norm(4);
  const torch::nn::Sequential twice(norm, norm);
  std::vector<BufferLook> before;
  for (const auto& buffer : norm->buffers()) {
    before.emplace_back(buffer);
  }
  run_closed_once(way, twice, trace_input());
  for (size_t i = 0; i < before.size(); ++i) {
    CHECK(BufferLook(norm->buffers()[i]) == before[i]);
  }
}

TEST_CASE(
    "ClosedTraces: buffers of any dtype and layout are put back",
    "[closed_traces][forward]") {
  const auto way = any_way_to_close();
  CAPTURE(static_cast<int>(way));
  const std::vector<torch::Tensor> values = {
      torch::ones({3}, torch::kBool),
      torch::ones({3}, torch::kLong),
      torch::ones({3}, torch::kBFloat16),
      torch::ones({3}, torch::kComplexFloat),
      torch::ones({3}, torch::kComplexFloat).conj(),
      torch::ones({}, torch::kDouble),
      torch::ones({0, 3}),
      torch::ones({3, 3}).to_sparse()};
  for (const auto& value : values) {
    for (const bool viewed : {false, true}) {
      CAPTURE(value.scalar_type(), value.sizes(), viewed);
      const auto dense = [](const torch::Tensor& tensor) {
        return tensor.is_sparse() ? tensor.to_dense() : tensor.clone();
      };
      const auto kept = dense(value);
      WithBuffer child(value, [](auto& self, const auto& x) {
        self.buffer.zero_();
        return x * 1;
      });
      if (viewed && value.layout() == torch::kStrided) {
        child->view = child->buffer.view_as(child->buffer);
      }
      run_closed_once(way, child, trace_input());
      CHECK(dense(child->buffer).equal(kept));
    }
  }
}

TEST_CASE(
    "ClosedTraces: a closed run that throws puts all back",
    "[closed_traces][forward][error]") {
  const bool viewed = GENERATE(false, true);
  CAPTURE(viewed);
  WithBuffer child(some_buffer(), [](auto& self, const auto& /*x*/) {
    self.buffer.mul_(2);
    self.eval();
    throw std::runtime_error("told to throw");
    return torch::Tensor();
  });
  child->view = viewed ? child->buffer[0] : torch::Tensor();
  const BufferLook before(child->buffer);
  CHECK_THROWS_AS(
      run_closed_once(ClosedBy::kBranch, child, trace_input()),
      std::runtime_error);
  CHECK(BufferLook(child->buffer) == before);
  CHECK(child->is_training());
}

TEST_CASE(
    "ClosedTraces: training flags are put back", "[closed_traces][forward]") {
  const auto way = any_way_to_close();
  const bool training = GENERATE(false, true);
  CAPTURE(static_cast<int>(way), training);
  struct FlipsImpl : torch::nn::Module {
    FlipsImpl() : norm(4), drop(0.5) {
      register_module("norm", norm);
      register_module("drop", drop);
    }
    torch::Tensor forward(const torch::Tensor& x) {
      train(!is_training());
      norm->train(!norm->is_training());
      return x * 1;
    }
    torch::nn::BatchNorm1d norm;
    torch::nn::Dropout drop;
  };
  const auto child = std::make_shared<FlipsImpl>();
  child->train(training);
  child->drop->train(!training);
  run_closed_once(way, child, trace_input());
  CHECK(child->is_training() == training);
  CHECK(child->norm->is_training() == training);
  CHECK(child->drop->is_training() == !training);
}

TEST_CASE(
    "ClosedTraces: gates that a branch sets are put back",
    "[closed_traces][forward]") {
  const auto way = any_way_to_close();
  CAPTURE(static_cast<int>(way));
  using Setting = std::function<void(ChoiceBlock<>&)>;
  // A mixture would refuse to run on another path than its own.
  const std::vector<std::pair<std::string, Setting>> settings = {
      {"select",
       [](auto& block) {
         block->set_weighting(nullptr);
         block->select(2);
       }},
      {"set_open",
       [](auto& block) {
         block->set_weighting(nullptr);
         block->set_open(std::vector<std::string>{"b"});
       }},
      {"apply",
       [](auto& block) {
         block->set_weighting(nullptr);
         const PathSpace space(
             block, [](std::string_view, const auto&) { return true; });
         space.apply(space.parse(".=c"));
       }},
      {"draw", [](auto& block) { block->draw_each_forward(99); }},
      {"draws", [](auto& block) { block->set_draw_state({4, 4}); }},
      {"stop", [](auto& block) { block->stop_drawing(); }},
      {"weigh",
       [](auto& block) {
         block->set_weighting(std::make_shared<BranchWeighting>(
             BranchWeighting{.logits = torch::zeros({3})}));
       }},
      {"unweigh", [](auto& block) { block->set_weighting(nullptr); }}};
  for (const auto& [name, setting] : settings) {
    for (const bool draws : {false, true}) {
      CAPTURE(name, draws);
      struct SelectsImpl : torch::nn::Module {
        explicit SelectsImpl(Setting to_do)
            : block({{"a", Identity()}, {"b", Identity()}, {"c", Identity()}}),
              setting(std::move(to_do)) {
          register_module("block", block);
        }
        torch::Tensor forward(const torch::Tensor& x) {
          setting(block);
          return block->forward(x) * 1;
        }
        ChoiceBlock<> block;
        Setting setting;
      };
      const auto child = std::make_shared<SelectsImpl>(setting);
      auto& block = child->block;
      const auto weighting = std::make_shared<BranchWeighting>(
          BranchWeighting{.logits = torch::zeros({3})});
      block->select(1);
      if (draws) {
        block->draw_each_forward(3);
        block->forward(trace_input());
      } else {
        block->set_weighting(weighting);
      }
      const auto open = block->open_branches().vec();
      const auto applied = block->applied_branches().vec();
      const auto ran = block->ran_branches().vec();
      const auto state = block->draw_state();
      run_closed_once(way, child, trace_input());
      CHECK(block->open_branches() == open);
      CHECK(block->applied_branches() == applied);
      CHECK(block->ran_branches() == ran);
      CHECK(block->draw_state() == state);
      CHECK(block->weighting() == (draws ? nullptr : weighting));
    }
  }
}

TEST_CASE(
    "ClosedTraces: the rate of a stack that a branch sets is put back",
    "[closed_traces][forward]") {
  const auto way = any_way_to_close();
  CAPTURE(static_cast<int>(way));
  struct SchedulesImpl : torch::nn::Module {
    SchedulesImpl()
        : stack(
              LayerDropOptions(0.25), {{"a", Identity()}, {"b", Identity()}}) {
      register_module("stack", stack);
    }
    torch::Tensor forward(const torch::Tensor& x) {
      stack->set_drop_rate(0.75);
      stack->keep_first(1);
      return stack->forward(x);
    }
    LayerDrop<> stack;
  };
  const auto child = std::make_shared<SchedulesImpl>();
  const auto state = child->stack->draw_state();
  run_closed_once(way, child, trace_input());
  CHECK(child->stack->drop_rate() == 0.25);
  CHECK(child->stack->applied_branches().size() == 2);
  CHECK(child->stack->draw_state() == state);
}

TEST_CASE(
    "ClosedTraces: slots that were used stay those of the open runs",
    "[closed_traces][forward]") {
  const auto way = any_way_to_close();
  CAPTURE(static_cast<int>(way));
  struct NetImpl : torch::nn::Module {
    NetImpl()
        : gate(ConcatGateOptions(1), {{"a", Identity()}, {"b", Identity()}}),
          layer(SlotLinearOptions({4, 4}, 4)) {
      register_module("gate", gate);
      register_module("layer", layer);
    }
    torch::Tensor forward(const torch::Tensor& x) {
      return layer->forward(gate->forward_slots(x));
    }
    ConcatGate<> gate;
    SlotLinear layer;
  };
  const auto net = std::make_shared<NetImpl>();
  net->gate->set_open({0});
  run_closed_once(way, net, trace_input());
  CHECK(net->layer->used_slots().empty());
  net->gate->set_open({1});
  net->forward(trace_input());
  net->gate->set_open({0});
  run_closed_once(way, net, trace_input());
  CHECK(net->layer->used_slots() == c10::IntArrayRef{1});
}

TEST_CASE(
    "ClosedTraces: an embedding that renormalises keeps its weights",
    "[closed_traces][forward]") {
  const auto way = any_way_to_close();
  const bool bag = GENERATE(false, true);
  CAPTURE(static_cast<int>(way), bag);
  const auto weight = torch::full({5, 3}, 2.0F);
  AnyBranch child;
  if (bag) {
    struct BagImpl : torch::nn::Module {
      BagImpl() : bag(torch::nn::EmbeddingBagOptions(5, 3).max_norm(1.0)) {
        register_module("bag", bag);
      }
      torch::Tensor forward(const torch::Tensor& x) { return bag->forward(x); }
      torch::nn::EmbeddingBag bag;
    };
    child = std::make_shared<BagImpl>();
  } else {
    child =
        torch::nn::Embedding(torch::nn::EmbeddingOptions(5, 3).max_norm(1.0));
  }
  auto parameter = child.ptr()->parameters().front();
  {
    const torch::NoGradGuard no_grad;
    parameter.copy_(weight);
  }
  const BufferLook before(parameter.detach());
  const auto x = torch::tensor({{0, 1}, {1, 3}});
  if (way != ClosedBy::kSecondPath) {  // which needs floats of one shape
    run_closed_once(way, child, x);
    CHECK(BufferLook(parameter.detach()) == before);
  }
  CHECK(child.ptr()->parameters().front().is_same(parameter));
  child.forward(x);
  CHECK_FALSE(bit_equal(parameter.detach(), weight));
}

TEST_CASE(
    "ClosedTraces: parameters that a closed branch changes are refused",
    "[closed_traces][forward][error]") {
  const auto way = any_way_to_close();
  CAPTURE(static_cast<int>(way));
  struct TrainsItselfImpl : torch::nn::Module {
    explicit TrainsItselfImpl(std::function<void(torch::Tensor&)> to_do)
        : linear(4, 4), action(std::move(to_do)) {
      register_module("linear", linear);
    }
    torch::Tensor forward(const torch::Tensor& x) {
      const torch::NoGradGuard no_grad;
      action(linear->weight);
      return linear->forward(x);
    }
    Linear linear;
    std::function<void(torch::Tensor&)> action;
  };
  const std::vector<std::function<void(torch::Tensor&)>> actions = {
      [](auto& weight) { weight.div_(weight.norm()); },
      [](auto& weight) { weight[0].zero_(); },
      [](auto& weight) { weight.set_data(weight / weight.norm()); }};
  for (const auto& action : actions) {
    const auto child = std::make_shared<TrainsItselfImpl>(action);
    const auto text = message_of<c10::ValueError>(
        [&] { run_closed_once(way, child, trace_input()); });
    CHECK_THAT(
        text,
        ContainsSubstring("::forward: expected branch") &&
            ContainsSubstring(
                "to leave its parameters as they are while it is closed, got "
                "'") &&
            ContainsSubstring("linear.weight' changed"));
  }
  run_closed_once(
      way, std::make_shared<TrainsItselfImpl>([](auto&) {}), trace_input());
}

TEST_CASE(
    "ClosedTraces: what a closed branch registers is refused",
    "[closed_traces][forward][error]") {
  const auto way = any_way_to_close();
  CAPTURE(static_cast<int>(way));
  const std::vector<WithBufferImpl::Function> actions = {
      [](auto& self, const auto& x) {
        if (!self.other.defined()) {
          self.other = self.register_buffer("other", torch::zeros({4}));
        }
        return x * 1;
      },
      [](auto& self, const auto& x) {
        if (!self.other.defined()) {
          self.other = self.register_parameter("other", torch::zeros({4}));
        }
        return x * 1;
      },
      [](auto& self, const auto& x) {
        if (self.children().empty()) {
          self.register_module("linear", Linear(4, 4));
        }
        return x * 1;
      }};
  for (const auto& action : actions) {
    WithBuffer child(some_buffer(), action);
    CHECK_THAT(
        message_of<c10::ValueError>(
            [&] { run_closed_once(way, child, trace_input()); }),
        ContainsSubstring(
            "to have registered all its parameters, buffers and modules before "
            "it runs closed, got 2 in place of 1 in a") &&
            ContainsSubstring("run it open once before"));
    WithBuffer ran(some_buffer(), action);
    ran->forward(trace_input());
    run_closed_once(way, ran, trace_input());
  }
}

TEST_CASE(
    "ClosedTraces: tracked statistics change, and nothing else",
    "[closed_traces][forward]") {
  struct TracksImpl : torch::nn::Module {
    TracksImpl() : norm(4), block({{"a", Identity()}, {"b", Identity()}}) {
      register_module("norm", norm);
      register_module("block", block);
    }
    torch::Tensor forward(const torch::Tensor& x) {
      block->select(1);
      block->eval();
      return block->forward(norm->forward(x));
    }
    torch::nn::BatchNorm1d norm;
    ChoiceBlock<> block;
  };
  const auto child = std::make_shared<TracksImpl>();
  GatedBranch branch(
      child, GatedBranchOptions().skip(Skip::kNoGrad).track_statistics(true));
  branch->set_open(false);
  const auto before = copies_of(child->buffers());
  branch->forward(trace_input());
  CHECK_FALSE(bit_equal(child->norm->running_var, before[1]));
  CHECK(child->block->is_open(0));
  CHECK(child->block->is_training());
}
