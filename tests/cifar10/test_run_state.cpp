// SPDX-License-Identifier: MIT
#include "run_state.hpp"

#include "checksum.hpp"
#include "net.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"
#include "support/tensors.hpp"

#include <torch/serialize/archive.h>

#include <optional>
#include <string>
#include <vector>

namespace cifar10 {

namespace test = gatedpaths::test;
namespace {

using Catch::Matchers::StartsWith;
using gatedpaths::StateDict;
using test::bit_equal;
using test::message_of;
using torch::optim::SGDParamState;

/// A net after one step of path b.
struct Trained {
  explicit Trained(const NetOptions& options)
      : net(options),
        optimizer(
            net->parameters(), torch::optim::SGDOptions(0.1).momentum(0.9)) {
    gatedpaths::PathSpace space(*net);
    space.apply(space.at(1));
    net->forward(torch::rand({2, 3, 32, 32})).square().sum().backward();
    optimizer.step();
  }

  torch::Tensor momentum(const std::string& name) {
    const auto parameter = net->named_parameters()[name];
    const auto& state = optimizer.state();
    const auto found = state.find(parameter.unsafeGetTensorImpl());
    return found == state.end()
               ? torch::Tensor()
               : static_cast<const SGDParamState&>(*found->second)
                     .momentum_buffer();
  }

  void save(const test::fs::path& file) {
    save_run(file, *net, optimizer, {.batch = 1, .step = 1}, Json::object());
  }

  Position load(const test::fs::path& file) {
    return load_run(
        file,
        *net,
        optimizer,
        Json::object(),
        {.epochs = 1, .steps_per_epoch = 2});
  }

  Net net;
  torch::optim::SGD optimizer;
};

/// What a program whose net is dense writes.
void save_dense(
    const test::fs::path& file,
    Trained& run,
    const std::optional<std::string>& sum = {}) {
  torch::serialize::OutputArchive archive;
  if (sum) {
    archive.write("checksum", c10::IValue(*sum));
  }
  archive.write("format", c10::IValue("gatedpaths cifar10 run 2"));
  archive.write("settings", c10::IValue("{}"));
  archive.write(
      "position",
      c10::IValue(R"({"epoch":0,"batch":1,"step":1,"loss_sum":2.5,)"
                  R"("seconds":0.5})"));
  torch::serialize::OutputArchive net(archive.compilation_unit());
  run.net->save(net);
  archive.write("net", net);
  torch::serialize::OutputArchive momentum(archive.compilation_unit());
  for (const auto& name : run.net->named_parameters().keys()) {
    if (const auto value = run.momentum(name); value.defined()) {
      momentum.write(name, value, /*is_buffer=*/true);
    }
  }
  archive.write("momentum", momentum);
  archive.save_to(file.string());
}

std::string checksum_of(const test::fs::path& file) {
  torch::serialize::InputArchive archive;
  archive.load_from(file.string());
  return checksum(content_of(archive));
}

void check_same_weights(const Net& a, const Net& b) {
  const auto left = gatedpaths::slots_to_dense(*a);
  const auto right = gatedpaths::slots_to_dense(*b);
  for (const auto& item : left) {
    CAPTURE(item.key());
    CHECK(bit_equal(item.value(), right[item.key()]));
  }
}

}  // namespace

TEST_CASE(
    "run state: a file of a dense net loads into both forms",
    "[cifar10][serialize]") {
  const test::TemporaryFolder folder;
  Trained old(NetOptions{.form = Form::kDense});
  save_dense(folder / "run.pt", old);
  save_dense(folder / "run.pt", old, checksum_of(folder / "run.pt"));
  const auto fc1 = old.momentum("fc1.weight");

  SECTION("slots") {
    Trained run(NetOptions{.form = Form::kSlots});
    const auto position = run.load(folder / "run.pt");
    CHECK(position.step == 1);
    CHECK(position.loss_sum == 2.5);
    check_same_weights(run.net, old.net);
    // A closed slot keeps the momentum that the dense layer had there.
    CHECK(bit_equal(run.momentum("fc1.weight_0"), fc1.narrow(1, 0, 400)));
    CHECK(bit_equal(run.momentum("fc1.weight_1"), fc1.narrow(1, 400, 400)));
    CHECK(bit_equal(run.momentum("fc1.bias"), old.momentum("fc1.bias")));
    CHECK_FALSE(run.momentum("paths.a.0.weight").defined());
    CHECK(run.momentum("fc1.weight_1").is_contiguous());
    CHECK_FALSE(run.momentum("fc1.weight_1").requires_grad());
  }
  SECTION("dense") {
    Trained run(NetOptions{.form = Form::kDense});
    run.load(folder / "run.pt");
    check_same_weights(run.net, old.net);
    CHECK(bit_equal(run.momentum("fc1.weight"), fc1));
    CHECK_FALSE(run.momentum("paths.a.0.weight").defined());
    CHECK(bit_equal(
        run.momentum("paths.b.0.weight"), old.momentum("paths.b.0.weight")));
  }
}

TEST_CASE(
    "run state: the file of either form is that of the dense net",
    "[cifar10][serialize]") {
  const test::TemporaryFolder folder;
  const auto form = GENERATE(Form::kSlots, Form::kDense);
  Trained run(NetOptions{.form = form});
  run.save(folder / "run.pt");

  torch::serialize::InputArchive archive;
  archive.load_from((folder / "run.pt").string());
  torch::serialize::InputArchive weights;
  archive.read("net", weights);
  Net dense(NetOptions{.form = Form::kDense});
  dense->load(weights);
  check_same_weights(dense, run.net);
  for (const auto& parameter : dense->parameters()) {
    CHECK(parameter.requires_grad());
  }

  torch::serialize::InputArchive momentum;
  archive.read("momentum", momentum);
  CHECK(momentum.keys().size() == 10);  // all but path a's
  torch::Tensor fc1;
  momentum.read("fc1.weight", fc1, /*is_buffer=*/true);
  CHECK(fc1.sizes() == c10::IntArrayRef({120, 800}));
  // Path a was never open.
  CHECK(test::all_zero(fc1.narrow(1, 0, 400)));
  CHECK_FALSE(test::all_zero(fc1.narrow(1, 400, 400)));
}

TEST_CASE(
    "run state: a file without a checksum is refused", "[cifar10][error]") {
  const test::TemporaryFolder folder;
  const auto file = folder / "run.pt";
  Trained old(NetOptions{.form = Form::kDense});
  save_dense(file, old);
  Trained run(NetOptions{});
  CHECK(
      message_of<c10::ValueError>([&] { run.load(file); }) ==
      "checkpoint '" + file.string() +
          "': expected a checksum of its content, got none (a development "
          "version of this program wrote it)");
}

TEST_CASE(
    "run state: what is saved has the checksum of what is read",
    "[cifar10][serialize]") {
  const test::TemporaryFolder folder;
  const auto file = folder / "run.pt";
  Trained run(NetOptions{.form = GENERATE(Form::kSlots, Form::kDense)});
  run.save(file);
  torch::serialize::InputArchive archive;
  archive.load_from(file.string());
  c10::IValue sum;
  archive.read("checksum", sum);
  CHECK(sum.toStringRef() == checksum_of(file));
  // Three texts, 14 weights, and the momentum of all but path a's.
  torch::serialize::InputArchive again;
  again.load_from(file.string());
  CHECK(content_of(again).size() == 3 + 14 + 10);
}

TEST_CASE(
    "run state: another net's tensors are refused, and nothing changes",
    "[cifar10][error]") {
  const test::TemporaryFolder folder;
  const auto file = folder / "run.pt";
  const auto form = GENERATE(Form::kSlots, Form::kDense);
  Trained run(NetOptions{.form = form});
  Trained other(NetOptions{.width = 2, .form = form});
  const auto refused = [&] {
    std::vector<torch::Tensor> before;
    for (const auto& parameter : run.net->parameters()) {
      before.push_back(parameter.detach().clone());
    }
    const auto momentum = run.momentum("fc1.bias").clone();
    auto message = message_of<c10::ValueError>([&] { run.load(file); });
    const auto after = run.net->parameters();
    for (std::size_t i = 0; i < before.size(); ++i) {
      CHECK(bit_equal(before[i], after[i]));
    }
    CHECK(bit_equal(run.momentum("fc1.bias"), momentum));
    return message;
  };

  SECTION("momentum of other sizes") {
    other.save(file);
    CHECK(
        refused() ==
        "momentum of 'paths.b.0.weight': expected [6, 3, 5, 5] Float, got [12, "
        "3, 5, 5] Float");
  }
  SECTION("weights of other sizes") {
    other.optimizer.state().clear();
    other.save(file);
    CHECK_THAT(
        refused(),
        StartsWith("load_checked: parameter 'paths.a.0.weight': expected [6, "
                   "3, 5, 5] Float, got [12, 3, 5, 5] Float; "));
  }
  SECTION("tensors of another dtype") {
    Trained doubles(NetOptions{.form = form});
    doubles.net->to(torch::kDouble);
    doubles.optimizer.state().clear();
    doubles.save(file);
    CHECK_THAT(
        refused(),
        StartsWith("load_checked: parameter 'paths.a.0.weight': expected [6, "
                   "3, 5, 5] Float, got [6, 3, 5, 5] Double; "));
  }
  SECTION("momentum of another dtype") {
    const auto bias = run.net->named_parameters()["fc1.bias"];
    const auto good = run.momentum("fc1.bias");
    auto& state = static_cast<SGDParamState&>(
        *run.optimizer.state().at(bias.unsafeGetTensorImpl()));
    state.momentum_buffer(good.to(torch::kDouble));
    run.save(file);
    state.momentum_buffer(good);
    CHECK(
        refused() ==
        "momentum of 'fc1.bias': expected [120] Float, got [120] Double");
  }
  SECTION("more paths") {
    Trained more(NetOptions{.paths = 3, .form = form});
    more.optimizer.state().clear();
    more.save(file);
    CHECK_THAT(
        refused(),
        Catch::Matchers::ContainsSubstring(
            "parameter 'fc1.weight': expected [120, 800] Float, got [120, "
            "1200] Float; unexpected 'paths.c'"));
  }
  SECTION("momentum of a parameter that is not there") {
    Trained more(NetOptions{.paths = 3, .form = form});
    gatedpaths::PathSpace space(*more.net);
    space.apply(space.at(2));
    more.net->zero_grad();
    more.net->forward(torch::rand({2, 3, 32, 32})).sum().backward();
    for (auto& item : more.net->named_parameters()) {
      if (item.key().rfind("paths.c.", 0) != 0) {
        item.value().mutable_grad().reset();
      }
    }
    more.optimizer.state().clear();
    more.optimizer.step();
    more.save(file);
    CHECK_THAT(
        refused(),
        StartsWith("momentum: expected that of a parameter of the net, got "
                   "that of 'paths.c."));
  }
}

}  // namespace cifar10
