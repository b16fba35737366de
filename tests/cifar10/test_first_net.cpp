// SPDX-License-Identifier: MIT
#include "first_net.hpp"

#include "saved_run.hpp"
#include "small_run.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"
#include "support/tensors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace cifar10 {

namespace gp = gatedpaths;
namespace test = gatedpaths::test;
namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using test::bit_equal;
using test::message_of;

Options of_three_paths(Form form) {
  auto options = small_options();
  options.paths = 3;
  options.form = form;
  return options;
}

Options of_path_b(Form form) {
  auto options = of_three_paths(form);
  options.path = "paths=b";
  return options;
}

/// Whether the tensors are equal bit for bit, whatever they are called.
bool equal_in_order(
    const std::vector<torch::Tensor>& a, const std::vector<torch::Tensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), bit_equal);
}

/// A supernet of three paths after some steps, in a file.
struct Supernet {
  explicit Supernet(Form form = Form::kSlots)
      : run(start_small(of_three_paths(form))), file(folder / "supernet.pt") {
    train_steps(*run, 5);
    run->save(file);
    bytes = test::read_file(file);
  }

  Options options(Form form = Form::kSlots) const {
    auto options = of_path_b(form);
    options.derive = file;
    return options;
  }

  test::TemporaryFolder folder;
  std::unique_ptr<TrainingRun> run;
  test::fs::path file;
  std::string bytes;
};

}  // namespace

TEST_CASE("first net: a path alone has no weight of others", "[cifar10]") {
  const auto form = GENERATE(Form::kSlots, Form::kDense);
  const auto first = make_first_net(of_path_b(form));
  const auto* fc1 = form == Form::kSlots ? "fc1.weight_0" : "fc1.weight";
  CHECK(
      first.net->named_parameters().keys() == std::vector<std::string>{
                                                  "paths.b.0.weight",
                                                  "paths.b.0.bias",
                                                  "paths.b.3.weight",
                                                  "paths.b.3.bias",
                                                  fc1,
                                                  "fc1.bias",
                                                  "fc2.weight",
                                                  "fc2.bias",
                                                  "fc3.weight",
                                                  "fc3.bias"});
  CHECK(
      first.net->named_parameters()[fc1].sizes() ==
      c10::IntArrayRef({120, 400}));
  CHECK(first.inherited.empty());
  gp::PathSpace space(first.net);
  CHECK(space.size() == 1);
  CHECK(space.to_string(space.at(0)) == "paths=b");
}

TEST_CASE(
    "first net: fresh weights of a path are those of a net that has no other",
    "[cifar10][random]") {
  const auto form = GENERATE(Form::kSlots, Form::kDense);
  auto options = of_path_b(form);
  options.seed = 7;
  const auto first = make_first_net(options);

  auto one = options;
  one.paths = 1;
  one.path.clear();
  CHECK(equal_in_order(
      first.net->parameters(), make_first_net(one).net->parameters()));
  options.path = "paths=c";
  CHECK(equal_in_order(
      first.net->parameters(), make_first_net(options).net->parameters()));
  options.seed = 8;
  CHECK_FALSE(equal_in_order(
      first.net->parameters(), make_first_net(options).net->parameters()));
}

TEST_CASE(
    "first net: it is the net that narrow makes of the supernet", "[cifar10]") {
  auto narrowed = make_first_net(of_three_paths(Form::kSlots)).net;
  const gp::PathSpace space(narrowed);
  gp::narrow(narrowed, space, space.parse("paths=b"));
  auto first = make_first_net(of_path_b(Form::kSlots));
  CHECK(
      first.net->named_parameters().keys() ==
      narrowed->named_parameters().keys());
  gp::slots_from_dense(narrowed, gp::slots_to_dense(first.net));
  const torch::NoGradGuard no_grad;
  const auto images = torch::rand({4, 3, 32, 32});
  CHECK(bit_equal(first.net->forward(images), narrowed->forward(images)));
}

TEST_CASE("first net: a path trains as a net that has no other", "[cifar10]") {
  const auto form = GENERATE(Form::kSlots, Form::kDense);
  auto options = of_path_b(form);
  const auto alone = start_small(options);
  options.path.clear();
  options.paths = 1;
  const auto one = start_small(options);
  train_steps(*alone, 6);
  train_steps(*one, 6);
  CHECK(all_weights(*alone) == all_weights(*one));
  CHECK(alone->finished());
  const auto results = alone->test();
  REQUIRE(results.size() == 1);
  CHECK(results[0].path == "paths=b");
}

TEST_CASE(
    "first net: inherited weights are the supernet's, bit for bit, and so is "
    "what they compute",
    "[cifar10]") {
  const auto supernet_form = GENERATE(Form::kSlots, Form::kDense);
  const auto form = GENERATE(Form::kSlots, Form::kDense);
  CAPTURE(supernet_form == Form::kSlots, form == Form::kSlots);
  const Supernet supernet(supernet_form);
  const auto run = start_small(supernet.options(form));
  CHECK(run->position().step == 0);

  const auto wanted = gp::slots_to_dense(*supernet.run->net());
  const auto weights = gp::slots_to_dense(*run->net());
  CHECK(weights.size() == 10);
  for (const auto& item : weights) {
    CAPTURE(item.key());
    const auto& value = wanted[item.key()];
    CHECK(bit_equal(
        item.value(),
        item.key() == "fc1.weight" ? value.narrow(1, 400, 400) : value));
  }
  for (const auto& parameter : run->net()->parameters()) {
    CHECK(parameter.requires_grad());
  }

  const auto& space = supernet.run->space();
  space.apply(space.parse("paths=b"));
  {
    const torch::NoGradGuard no_grad;
    const auto images = torch::rand({4, 3, 32, 32});
    const auto logits = supernet.run->net()->forward(images);
    const auto derived = run->net()->forward(images);
    if (supernet_form == form && form == Form::kSlots) {
      CHECK(bit_equal(derived, logits));
    }
    CHECK(test::largest_difference(derived, logits) < 1e-6);
  }
  const auto all = supernet.run->test();
  const auto results = run->test();
  REQUIRE(results.size() == 1);
  CHECK(results[0].path == all[1].path);
  CHECK(results[0].accuracy == all[1].accuracy);
  CHECK(results[0].classes == all[1].classes);

  train_steps(*run, 6);
  CHECK(run->finished());
  CHECK(test::read_file(supernet.file) == supernet.bytes);
}

TEST_CASE(
    "first net: a run may be trained otherwise than its supernet",
    "[cifar10]") {
  const Supernet supernet;
  auto options = supernet.options();
  options.seed = 9;
  options.lr = 0.5;
  options.epochs = 7;
  options.batch_size = 5;
  options.data.limit = 20;
  const auto other = start_small(options);
  CHECK(all_weights(*other) == all_weights(*start_small(supernet.options())));
  CHECK(
      make_first_net(options).inherited ==
      make_first_net(supernet.options()).inherited);
}

TEST_CASE(
    "first net: a run of one path goes on with the same bits, in either form",
    "[cifar10]") {
  const Supernet supernet;
  const auto inherits = GENERATE(false, true);
  const auto form = GENERATE(Form::kSlots, Form::kDense);
  const auto stop = GENERATE(0, 2, 3, 6);
  CAPTURE(inherits, form == Form::kSlots, stop);
  auto options = inherits ? supernet.options(form) : of_path_b(form);
  const auto whole = start_small(options);
  train_steps(*whole, 6);
  const auto first = start_small(options);
  train_steps(*first, stop);
  const auto file = supernet.folder / "path.pt";
  first->save(file);

  test::fs::remove(supernet.file);  // all is in the run's own checkpoint
  options.resume = true;
  torch::manual_seed(12345);
  const auto second = start_small(options);
  second->resume(file);
  CHECK(second->position().step == stop);
  CHECK(all_weights(*second) == all_weights(*first));
  train_steps(*second, 6 - stop);
  CHECK(all_weights(*second) == all_weights(*whole));

  options.form = form == Form::kSlots ? Form::kDense : Form::kSlots;
  const auto other = start_small(options);
  other->resume(file);
  CHECK(all_weights(*other) == all_weights(*first));
  train_steps(*other, 6 - stop);
  const auto ended = other->net()->parameters();
  const auto wanted = whole->net()->parameters();
  REQUIRE(ended.size() == wanted.size());
  for (std::size_t i = 0; i < ended.size(); ++i) {
    CHECK(test::largest_difference(ended[i], wanted[i]) < 1e-5);
  }
}

TEST_CASE(
    "first net: a run of all paths has the settings that it always had",
    "[cifar10][serialize]") {
  const auto run = start_small();
  CHECK(
      run->settings().dump() ==
      R"({"--paths":2,"--width":1,"path space":")" +
          fmt::format("{:016x}", run->space().hash()) +
          R"(","--epochs":2,"--batch-size":16,"--lr":0.04,"--momentum":0.9,)"
          R"("--weight-decay":0.001,"--seed":0,"training images":48,)"
          R"("their labels' hash":")" +
          run->settings().at("their labels' hash").get<std::string>() +
          R"("})");
  const auto alone = start_small(of_path_b(Form::kSlots))->settings();
  CHECK(alone.at("--paths") == 3);
  CHECK(alone.at("--path") == "paths=b");
  CHECK(alone.at("first weights") == "fresh");
  CHECK(
      alone.at("path space") ==
      start_small(of_three_paths(Form::kSlots))->settings().at("path space"));
}

TEST_CASE(
    "first net: a run of another path, or of all, is not gone on with",
    "[cifar10][error]") {
  const Supernet supernet;
  const auto file = supernet.folder / "path.pt";
  const auto saved = start_small(of_path_b(Form::kSlots));
  train_steps(*saved, 2);
  saved->save(file);
  const auto refused = [](const Options& options, const test::fs::path& name) {
    const auto run = start_small(options);
    const auto before = all_weights(*run);
    const auto message =
        message_of<c10::ValueError>([&] { run->resume(name); });
    CHECK(all_weights(*run) == before);
    CHECK(run->position().step == 0);
    const auto start = "checkpoint '" + name.string() + "' is of another run: ";
    REQUIRE_THAT(message, StartsWith(start));
    return message.substr(start.size());
  };
  auto other = of_path_b(Form::kSlots);
  other.path = "paths=c";
  CHECK(refused(other, file) == R"(expected --path "paths=c", got "paths=b")");
  CHECK(
      refused(of_three_paths(Form::kSlots), file) ==
      R"(expected --path none, got "paths=b"; )"
      R"(expected first weights none, got "fresh")");
  CHECK(
      refused(supernet.options(), file) ==
      R"(expected first weights "inherited", got "fresh")");
  CHECK(
      refused(of_path_b(Form::kSlots), supernet.file) ==
      R"(expected --path "paths=b", got none; )"
      R"(expected first weights "fresh", got none)");
}

TEST_CASE(
    "first net: a path that the net does not have is refused",
    "[cifar10][error]") {
  auto options = of_three_paths(Form::kSlots);
  const auto refused = [&](const std::string& text) {
    options.path = text;
    return message_of<c10::ValueError>([&] { make_first_net(options); });
  };
  CHECK(
      refused("paths=z") ==
      "--path: PathSpace::parse: expected one of ('a', 'b', 'c') for gate "
      "'paths', got 'z'");
  CHECK(
      refused("b") ==
      "--path: PathSpace::parse: expected 'gate=branch+branch' between "
      "semicolons, got 'b'");
  CHECK(
      refused("stem=b") ==
      "--path: PathSpace::parse: expected one of the gates ('paths'), got "
      "'stem'");
  CHECK_THAT(
      refused("paths=a+b"),
      StartsWith("--path: PathSpace::parse: expected 1 to 1 open branches for "
                 "gate 'paths', got "));
  CHECK_THAT(refused("paths="), StartsWith("--path: PathSpace::parse: "));
}

TEST_CASE(
    "first net: a checkpoint of no such supernet is refused",
    "[cifar10][error]") {
  const Supernet supernet;
  auto options = supernet.options(GENERATE(Form::kSlots, Form::kDense));
  const auto refused = [&] {
    return message_of<c10::ValueError>([&] { make_first_net(options); });
  };
  const auto name = "--derive: checkpoint '" + supernet.file.string() + "'";

  SECTION("of another width") {
    options.width = 2;
    CHECK(refused() == name + " is of another net: expected --width 2, got 1");
  }
  SECTION("of fewer paths") {
    options.paths = 4;
    CHECK_THAT(
        refused(),
        StartsWith(
            name + " is of another net: expected --paths 4, got 3; expected "
                   "path space \""));
  }
  SECTION("of one path") {
    const auto run = start_small(options);
    options.derive = supernet.folder / "path.pt";
    run->save(options.derive);
    CHECK(
        refused() ==
        "--derive: checkpoint '" + options.derive.string() +
            "' is of another net: expected --path none, got \"paths=b\"");
  }
  SECTION("none") {
    test::fs::remove(supernet.file);
    CHECK(
        refused() ==
        name +
            ": expected a whole checkpoint of this program, got no such "
            "file");
  }
  SECTION("a folder") {
    options.derive = supernet.folder.path();
    CHECK_THAT(refused(), ContainsSubstring("got no such file"));
  }
  SECTION("cut short") {
    test::fs::resize_file(supernet.file, supernet.bytes.size() / 2);
    CHECK_THAT(
        refused(),
        StartsWith(
            name + ": expected a whole checkpoint of this program, got "));
  }
  SECTION("with a bit flipped") {
    auto bytes = supernet.bytes;
    // The first weight of the path.
    const auto weights = weight(*supernet.run, "paths.b.0.weight");
    const std::string wanted(
        static_cast<const char*>(weights.const_data_ptr()), weights.nbytes());
    const auto at = bytes.find(wanted);
    REQUIRE(at != std::string::npos);
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
    test::write_file(supernet.file, bytes);
    CHECK_THAT(
        refused(), StartsWith(name + ": expected content with the checksum "));
    CHECK(test::read_file(supernet.file) == bytes);
  }
  SECTION("something else") {
    test::write_file(supernet.file, std::string(1000, 'x'));
    CHECK_THAT(
        refused(),
        StartsWith(
            name + ": expected a whole checkpoint of this program, got 1000 "
                   "bytes that cannot be read ("));
  }
}

}  // namespace cifar10
