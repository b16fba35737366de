// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/gated_branch.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/paths/uniform_sampler.hpp>

#include <iomanip>
#include <map>
#include <sstream>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/fake_gate.hpp"

using gatedpaths::Path;
using gatedpaths::PathSpace;
using gatedpaths::test::fake_gate;
using gatedpaths::test::FakeGate;
using gatedpaths::test::Holder;
using gatedpaths::test::holder;
using gatedpaths::test::message_of;

namespace {

using Set = std::vector<int64_t>;
using Strings = std::vector<std::string>;

Strings gate_names(const PathSpace& space) {
  Strings names;
  for (int64_t i = 0; i < space.num_gates(); ++i) {
    names.push_back(space.gate_name(i));
  }
  return names;
}

// A network that is built the same way each time.
class FakeNetImpl : public torch::nn::Module {
 public:
  explicit FakeNetImpl(int64_t most = 2) {
    stem = register_module("stem", fake_gate({"conv3", "conv5"}));
    op = fake_gate({"x", "y", "z"});
    auto inside = holder();
    inside->add("op", op);
    auto body = holder();
    cell = body->add(
        "cell",
        fake_gate({"a", "b"}, 0, most, FakeGate::Inside{{"a", inside}}));
    register_module("body", body);
  }

  std::shared_ptr<FakeGate> stem;
  std::shared_ptr<FakeGate> cell;
  std::shared_ptr<FakeGate> op;
};

TORCH_MODULE(FakeNet);

}  // namespace

TEST_CASE(
    "PathSpace: finds gates depth first in registration order",
    "[path_space]") {
  FakeNet net;
  const PathSpace space(net);
  CHECK(gate_names(space) == Strings{"stem", "body.cell", "body.cell.a.op"});
  CHECK(&space.gate(1) == net->cell.get());
  CHECK(&space.gate("body.cell.a.op") == net->op.get());
  CHECK(space.gate_index("stem") == 0);
  CHECK(space.size() == 2 * (1 + (3 + 1) + 3));
  CHECK(space.log2_size() == std::log2(16.0));
  const auto& layout = space.layout()->gates()[2];
  CHECK(layout.branch_names == Strings{"x", "y", "z"});
  REQUIRE(layout.places.size() == 1);
  CHECK((layout.places[0] == gatedpaths::GatePlace{1, 0}));
}

TEST_CASE(
    "PathSpace: takes modules on the stack, holders and shared pointers",
    "[path_space]") {
  FakeNetImpl on_stack;
  FakeNet held;
  const auto shared = std::make_shared<FakeNetImpl>();
  const PathSpace space(on_stack);
  CHECK(space == PathSpace(held));
  CHECK(space == PathSpace(*held));
  CHECK(space == PathSpace(shared));
  CHECK(space.hash() == PathSpace(*shared).hash());
  CHECK_FALSE(space == PathSpace(*std::make_shared<FakeNetImpl>(1)));

  space.apply(space.parse("stem=conv5;body.cell="));
  CHECK(on_stack.stem->open_branches() == Set{1});
  CHECK(message_of<c10::ValueError>([] {
          PathSpace(std::shared_ptr<FakeNetImpl>());
        }) == "PathSpace: expected a network, got none");
}

TEST_CASE("PathSpace: a network without gates has one path", "[path_space]") {
  torch::nn::Linear linear(2, 2);
  const PathSpace space(linear);
  CHECK(space.num_gates() == 0);
  CHECK(space.size() == 1);
  CHECK(space.log2_size() == 0);
  CHECK(space.to_string(space.current()).empty());
  CHECK(space.parse("") == space.at(0));
  space.apply(space.at(0));
}

TEST_CASE("PathSpace: the root can be a gate itself", "[path_space]") {
  const auto inner = fake_gate({"x", "y"});
  const FakeGate::Inside inside{{"b", inner}};
  SECTION("owned") {
    auto root = fake_gate({"a", "b"}, 1, 1, inside);
    const PathSpace space(*root);
    CHECK(gate_names(space) == Strings{".", "b"});
    FakeGate* const raw = root.get();
    root.reset();  // the space keeps it
    space.apply(space.parse(".=b;b=y"));
    CHECK(raw->open_branches() == Set{1});
    CHECK(space.to_string(space.current()) == ".=b;b=y");
  }
  SECTION("on the stack") {
    FakeGate root({"a", "b"}, 1, 1, inside);
    const PathSpace space(root);
    CHECK(gate_names(space) == Strings{".", "b"});
    space.apply(space.at(2));
    CHECK(space.current() == space.at(2));
    CHECK(root.open_branches() == Set{1});
  }
}

TEST_CASE(
    "PathSpace: a gate inside a closed branch is not part of the path",
    "[path_space]") {
  FakeNet net;
  const PathSpace space(net);
  net->cell->set_open({"b"});
  net->op->set_open({0});
  const Path path = space.current();
  CHECK(space.to_string(path) == "stem=conv3;body.cell=b");
  net->op->set_open({2});
  CHECK(space.current() == path);
  net->cell->set_open({"a"});
  CHECK(
      space.to_string(space.current()) ==
      "stem=conv3;body.cell=a;body.cell.a.op=z");

  space.apply(path);
  CHECK(net->op->open_branches() == Set{2});  // left as it was
  CHECK(space.current() == path);
}

TEST_CASE("PathSpace: what is applied is current", "[path_space]") {
  FakeNet net;
  const PathSpace space(net);
  for (uint64_t i = 0; i < space.size(); ++i) {
    const Path path = space.at(i);
    space.apply(path);
    CHECK(space.current() == path);
    CHECK(space.parse(space.to_string(path)) == path);
  }
}

TEST_CASE(
    "PathSpace: paths move between networks built alike", "[path_space]") {
  FakeNet one;
  FakeNet other;
  const PathSpace space(one);
  const PathSpace other_space(other);
  other_space.apply(space.parse("stem=conv5;body.cell=a+b;body.cell.a.op=y"));
  CHECK(other->op->open_branches() == Set{1});
  CHECK(other->cell->open_branches() == Set{0, 1});
}

TEST_CASE(
    "PathSpace: a path of another space changes nothing",
    "[path_space][error]") {
  FakeNet net;
  auto other = std::make_shared<FakeNetImpl>(1);
  const PathSpace space(net);
  const PathSpace other_space(*other);
  const Path before = space.current();
  const auto hex = [](uint64_t number) {
    std::ostringstream stream;
    stream << "0x" << std::hex << std::setw(16) << std::setfill('0') << number;
    return stream.str();
  };
  CHECK(
      message_of<c10::ValueError>([&] {
        space.apply(other_space.parse("stem=conv5;body.cell="));
      }) == "PathSpace::apply: expected a path of space " + hex(space.hash()) +
                ", got one of space " + hex(other_space.hash()));
  CHECK(
      message_of<c10::ValueError>([&] { space.apply(Path()); }) ==
      "PathSpace::apply: expected a path of space " + hex(space.hash()) +
          ", got one of space 0x0000000000000000");
  CHECK(space.current() == before);
  CHECK_THROWS_AS(space.gate(3), c10::IndexError);
  CHECK_THROWS_AS(space.gate("op"), c10::IndexError);
}

TEST_CASE(
    "PathSpace: what stands beside the branches is not inside one",
    "[path_space]") {
  auto gate = fake_gate({"a", "b"}, 0, 1);
  auto head = holder();
  head->add("choice", fake_gate({"x", "y"}));
  gate->add_head(head);
  auto net = holder();
  net->add("gate", gate);
  const PathSpace space(*net);
  CHECK(gate_names(space) == Strings{"gate", "gate.head.choice"});
  CHECK(space.layout()->gate(1).places.empty());
  CHECK(space.size() == 3 * 2);
  CHECK_NOTHROW(space.parse("gate=;gate.head.choice=y"));
}

TEST_CASE(
    "PathSpace: a shared gate is one gate with several places",
    "[path_space]") {
  const auto shared = fake_gate({"x", "y"});
  auto net = holder();
  SECTION("in branches of two gates") {
    // Found inside the first gate, but reached from a later one too: it comes
    // after both.
    net->add(
        "first", fake_gate({"a", "b"}, 1, 1, FakeGate::Inside{{"a", shared}}));
    net->add(
        "second", fake_gate({"a", "b"}, 1, 1, FakeGate::Inside{{"b", shared}}));
    const PathSpace space(*net);
    CHECK(gate_names(space) == Strings{"first", "second", "first.a"});
    CHECK_THROWS_AS(space.size(), c10::ValueError);
    CHECK_NOTHROW(space.parse("first=a;second=b;first.a=x"));
    CHECK_NOTHROW(space.parse("first=b;second=b;first.a=x"));
    CHECK_NOTHROW(space.parse("first=b;second=a"));
    CHECK_THROWS_AS(space.parse("first=b;second=a;first.a=x"), c10::ValueError);

    // A sampler sets it wherever it is reached.
    const gatedpaths::UniformSampler sampler(space, 1);
    for (uint64_t step = 0; step < 100; ++step) {
      space.apply(sampler.at(step));
      CHECK(space.current() == sampler.at(step));
    }
  }
  SECTION("in two branches of one gate") {
    net->add(
        "gate",
        fake_gate(
            {"a", "b", "c"},
            1,
            1,
            FakeGate::Inside{{"a", shared}, {"c", shared}}));
    const PathSpace space(*net);
    CHECK(gate_names(space) == Strings{"gate", "gate.a"});
    CHECK_NOTHROW(space.parse("gate=c;gate.a=y"));
    CHECK_THROWS_AS(space.parse("gate=b;gate.a=y"), c10::ValueError);
  }
  SECTION("in a branch and outside of all: always reached") {
    net->add(
        "gate", fake_gate({"a", "b"}, 1, 1, FakeGate::Inside{{"a", shared}}));
    net->add("again", shared);
    const PathSpace space(*net);
    CHECK(space.size() == 4);
    CHECK_NOTHROW(space.parse("gate=b;gate.a=y"));
  }
}

TEST_CASE("PathSpace: names with delimiters survive the text", "[path_space]") {
  auto net = holder();
  // No branch can have a backslash, which archives cannot hold; a module can.
  net->add("a=b;c\\", fake_gate({"x+y", "=z;"}, 0, 2));
  const PathSpace space(*net);
  for (uint64_t i = 0; i < space.size(); ++i) {
    CHECK(space.parse(space.to_string(space.at(i))) == space.at(i));
  }
  CHECK(space.to_string(space.at(3)) == "a\\=b\\;c\\\\=x\\+y+\\=z\\;");
}

TEST_CASE(
    "PathSpace: a gate that draws by itself draws after an applied path",
    "[path_space]") {
  auto gate = fake_gate({"a", "b", "c", "d"});
  const PathSpace space(*gate);
  gate->draw_each_forward(3);
  gate->forward();
  const Path drawn = space.current();
  CHECK(drawn.open_branches(0) == gate->open_branches());
  space.apply(space.at(2));
  CHECK(gate->open_branches() == Set{2});
  gate->eval();
  gate->forward();
  CHECK(space.current() == space.at(2));
}

TEST_CASE(
    "PathSpace: sets the library's own modules, nested in each other",
    "[path_space][forward]") {
  // Each module adds a number of its own, so that the sum tells what ran.
  const auto adds = [](double number) {
    torch::nn::Linear linear(1, 1);
    torch::NoGradGuard no_grad;
    linear->weight.fill_(1);
    linear->bias.fill_(number);
    return linear;
  };
  gatedpaths::ChoiceBlock inner({{"x", adds(1)}, {"y", adds(2)}});
  gatedpaths::GatedBranch drop(adds(4));
  gatedpaths::ChoiceBlock outer(
      {{"inner", inner},
       {"seq", torch::nn::Sequential(adds(8), drop)},
       {"identity", torch::nn::Identity()}});
  gatedpaths::ConcatGate net(
      gatedpaths::ConcatGateOptions(1).min_open(1).max_open(2),
      {{"a", outer}, {"b", adds(16)}});

  const PathSpace space(net);
  CHECK(gate_names(space) == Strings{".", "a", "a.inner", "a.seq.1"});
  CHECK(space.size() == 5 + 1 + 5);
  std::map<std::string, std::vector<float>> outputs;
  for (uint64_t i = 0; i < space.size(); ++i) {
    space.apply(space.at(i));
    const auto output = net->forward(torch::zeros({1, 1})).contiguous();
    outputs[space.to_string(space.current())] = {
        output[0][0].item<float>(), output[0][1].item<float>()};
  }
  using Pair = std::vector<float>;
  CHECK(outputs.size() == space.size());
  CHECK(outputs.at(".=a;a=inner;a.inner=x") == Pair{1, 0});
  CHECK(outputs.at(".=a;a=inner;a.inner=y") == Pair{2, 0});
  CHECK(outputs.at(".=a;a=seq;a.seq.1=branch") == Pair{12, 0});
  CHECK(outputs.at(".=a;a=seq;a.seq.1=") == Pair{0, 0});
  CHECK(outputs.at(".=a;a=identity") == Pair{0, 0});
  CHECK(outputs.at(".=b") == Pair{0, 16});
  CHECK(outputs.at(".=a+b;a=inner;a.inner=y") == Pair{2, 16});
}

TEST_CASE(
    "PathSpace: tells what ran, also outside of the bounds", "[path_space]") {
  const auto inner = fake_gate(Strings{"x", "y"});
  const auto gate =
      fake_gate(Strings{"a", "b", "c"}, 1, 1, FakeGate::Inside{{"b", inner}});
  const PathSpace space(gate);
  CHECK(space.ran().size() == 1);
  gate->forward_of({1, 2});
  const Path ran = space.ran();
  CHECK(ran.open_branches(0).vec() == Set{1, 2});
  CHECK(ran.open_branches(1).vec() == Set{0});
  CHECK(space.current().open_branches(0) == Set{0});
  CHECK_THAT(
      message_of<c10::ValueError>([&] { space.apply(ran); }),
      Catch::Matchers::StartsWith(
          "PathSpace::apply: expected a path of space"));
  CHECK(gate->ran_branches().vec() == Set{1, 2});
}

TEST_CASE(
    "PathSpace: what is held twice counts twice, whatever came first",
    "[path_space]") {
  // The branches are no direct children of the gate, and their list stands
  // beside the gate, too.
  class ListGate : public torch::nn::Module, public gatedpaths::GatedModule {
   public:
    explicit ListGate(std::shared_ptr<FakeGate> inner) {
      init_gates("ListGate", {"a", "b"}, 1, 1);
      list = register_module("list", holder());
      a = list->add("a", std::move(inner));
      b = list->add("b", holder());
    }
    const torch::nn::Module& branch_module(int64_t index) const override {
      return index == 0 ? static_cast<const torch::nn::Module&>(*a) : *b;
    }
    std::string_view gate_kind() const noexcept override { return "ListGate"; }

    std::shared_ptr<Holder> list;
    std::shared_ptr<FakeGate> a;
    std::shared_ptr<Holder> b;
  };
  const auto gate_and_list = [](bool list_first) {
    const auto gate = std::make_shared<ListGate>(fake_gate({"x", "y", "z"}));
    const auto net = holder();
    if (list_first) {
      net->add("list", gate->list);
    }
    net->add("gate", gate);
    if (!list_first) {
      net->add("list", gate->list);
    }
    return net;
  };
  for (const bool list_first : {false, true}) {
    CAPTURE(list_first);
    const PathSpace space(gate_and_list(list_first));
    // The inner gate is reached whatever is open.
    CHECK(space.size() == 6);
    CHECK(space.num_gates() == 2);
  }
}
