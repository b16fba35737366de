// SPDX-License-Identifier: MIT
#include <gatedpaths/exchange/checkpoint.hpp>
#include <gatedpaths/exchange/torch_script.hpp>

#include "../branches/traced_rows.hpp"
#include "../text/tensor_text.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/frontend/tracer.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/serialization/export.h>

#include <fmt/format.h>

#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

namespace gatedpaths {
namespace {

namespace jit = torch::jit;

constexpr const char* kExportName = "export_torch_script";
constexpr double kScriptAbsolute = 1e-6;
constexpr double kScriptRelative = 1e-5;

// The same tree of names, with the very tensors. A module that several hold is
// one there, too.
class ScriptTree {
 public:
  jit::Module script_of(const torch::nn::Module& module) {
    const auto known = made_.find(&module);
    if (known != made_.end()) {
      return known->second;
    }
    jit::Module script(
        c10::QualifiedName("__torch__.gatedpaths.Module"),
        unit_,
        /*shouldMangle=*/true);
    script.register_attribute("training", c10::BoolType::get(), false);
    for (const auto& item : module.named_parameters(/*recurse=*/false)) {
      if (item.value().defined()) {
        script.register_parameter(item.key(), item.value(), false);
      }
    }
    for (const auto& item : module.named_buffers(/*recurse=*/false)) {
      if (item.value().defined()) {
        script.register_buffer(item.key(), item.value());
      }
    }
    for (const auto& item : module.named_children()) {
      if (item.value() != nullptr) {
        script.register_module(item.key(), script_of(*item.value()));
      }
    }
    made_.emplace(&module, script);
    return script;
  }

  const std::shared_ptr<jit::CompilationUnit>& unit() const { return unit_; }

 private:
  std::shared_ptr<jit::CompilationUnit> unit_ =
      std::make_shared<jit::CompilationUnit>();
  std::unordered_map<const torch::nn::Module*, jit::Module> made_;
};

torch::Tensor first_tensor(const detail::ScriptInputs& inputs) {
  for (const auto& input : inputs) {
    if (input.isTensor()) {
      return input.toTensor();
    }
  }
  return at::zeros({});  // has no rows
}

jit::Module trace(
    torch::nn::Module& net,
    detail::ScriptForward forward,
    const detail::ScriptInputs& example) {
  ScriptTree tree;
  auto script = tree.script_of(net);
  std::shared_ptr<jit::tracer::TracingState> state;
  try {
    state = jit::tracer::trace(
                example,
                [&](const jit::Stack& inputs) {
                  const auto first = first_tensor(inputs);
                  const detail::TracedRows rows(first);
                  return jit::Stack{forward(inputs)};
                },
                [](const torch::autograd::Variable&) { return std::string(); },
                /*strict=*/true,
                /*force_outplace=*/false,
                &script)
                .first;
  } catch (const c10::Error&) {
    throw;
  } catch (const std::exception& error) {
    // Of older LibTorch, some are none of its own.
    TORCH_CHECK(
        false,
        kExportName,
        ": expected a network that can be traced, got: ",
        error.what());
  }
  jit::EliminateDeadCode(state->graph);
  script.type()->addMethod(tree.unit()->create_function(
      c10::QualifiedName(*script.type()->name(), "forward"), state->graph));
  return script;
}

void collect_tensors(
    const at::IValue& value, std::vector<torch::Tensor>& tensors) {
  if (value.isTensor()) {
    tensors.push_back(value.toTensor());
  } else if (value.isTuple()) {
    for (const auto& element : value.toTupleRef().elements()) {
      collect_tensors(element, tensors);
    }
  } else if (value.isList()) {
    for (const at::IValue& element : value.toListRef()) {
      collect_tensors(element, tensors);
    }
  }
}

std::string tensors_text(const std::vector<torch::Tensor>& tensors) {
  std::string text;
  for (const auto& tensor : tensors) {
    text += text.empty() ? "" : ", ";
    text += detail::tensor_text(tensor);
  }
  return text;
}

double largest_gap(const torch::Tensor& a, const torch::Tensor& b) {
  return a.numel() == 0 ? 0
                        : (a.to(at::kDouble) - b.to(at::kDouble))
                              .abs()
                              .nan_to_num(0)
                              .max()
                              .item<double>();
}

void check_outputs(
    const char* on, const at::IValue& of_net, const at::IValue& of_trace) {
  std::vector<torch::Tensor> expected;
  std::vector<torch::Tensor> got;
  collect_tensors(of_net, expected);
  collect_tensors(of_trace, got);
  bool same_kind = expected.size() == got.size();
  for (size_t i = 0; same_kind && i < got.size(); ++i) {
    same_kind = expected[i].sizes() == got[i].sizes() &&
                expected[i].scalar_type() == got[i].scalar_type();
  }
  TORCH_CHECK_VALUE(
      same_kind,
      kExportName,
      ": expected the trace to give what the network gives on ",
      on,
      ", ",
      tensors_text(expected),
      ", got ",
      tensors_text(got),
      "; what its code decides by values or sizes is not traced");
  for (size_t i = 0; i < got.size(); ++i) {
    TORCH_CHECK_VALUE(
        at::allclose(
            got[i],
            expected[i],
            kScriptRelative,
            kScriptAbsolute,
            /*equal_nan=*/true),
        kExportName,
        ": expected the trace to give what the network gives on ",
        on,
        ", ",
        detail::tensor_text(expected[i]),
        ", got values that differ by up to ",
        largest_gap(expected[i], got[i]),
        "; what its code decides by values or draws is not traced");
  }
}

// None where nothing of it can be negative.
std::optional<detail::ScriptInputs> negated(
    const detail::ScriptInputs& inputs) {
  auto result = inputs;
  bool any = false;
  for (auto& input : result) {
    if (input.isTensor() && input.toTensor().is_floating_point()) {
      input = input.toTensor().neg();
      any = true;
    }
  }
  return any ? std::optional(result) : std::nullopt;
}

std::optional<at::IValue> run_if_taken(
    detail::ScriptForward forward, const detail::ScriptInputs& inputs) {
  try {
    return forward(inputs);
  } catch (const c10::Error&) {
    return std::nullopt;
  }
}

void check_on(
    const char* on,
    const at::IValue& expected,
    jit::Module& script,
    const detail::ScriptInputs& inputs) {
  at::IValue got;
  std::string reason;
  try {
    got = script.forward(inputs);
  } catch (const std::exception& error) {
    reason = error.what();
  }
  TORCH_CHECK_VALUE(
      reason.empty(),
      kExportName,
      ": expected a trace that runs on ",
      on,
      " as the network does, got: ",
      reason);
  check_outputs(on, expected, got);
}

}  // namespace

void detail::export_traced(
    torch::nn::Module& net,
    ScriptForward forward,
    const std::vector<ScriptInputs>& examples,
    const std::filesystem::path& file) {
  TORCH_CHECK_VALUE(
      !net.is_training(),
      kExportName,
      ": expected a network in eval mode, got one in training");
  const at::NoGradGuard no_grad;
  const auto& example = examples.front();
  // Before it is traced, so that the gates know all shapes then.
  const auto expected = forward(example);
  auto script = trace(net, forward, example);
  check_on("the example", expected, script, example);
  if (const auto inputs = negated(example)) {
    if (const auto output = run_if_taken(forward, *inputs)) {
      check_on("the negative of the example", *output, script, *inputs);
    }
  }
  for (size_t i = 1; i < examples.size(); ++i) {
    const auto name = fmt::format("check {}", i - 1);
    check_on(name.c_str(), forward(examples[i]), script, examples[i]);
  }
  save_atomically(
      file, [&](const ByteSink& sink) { jit::ExportModule(script, sink); });
}

}  // namespace gatedpaths
