// SPDX-License-Identifier: MIT
// Every name that a gate or PathLogits accepts comes back from an archive.
#include <gatedpaths/exchange/checkpoint.hpp>
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/learning/path_logits.hpp>
#include <gatedpaths/paths/path_space.hpp>

#include <torch/csrc/jit/frontend/lexer.h>

#include <random>
#include <set>
#include <sstream>
#include <string>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/fake_gate.hpp"
#include "support/tensors.hpp"

using Catch::Matchers::ContainsSubstring;
using gatedpaths::ChoiceBlock;
using gatedpaths::load_checked;
using gatedpaths::PathLogits;
using gatedpaths::PathSpace;
using gatedpaths::test::bit_equal;
using gatedpaths::test::holder;
using gatedpaths::test::message_of;
using torch::nn::Linear;

namespace {

ChoiceBlock<Linear> block_of_name(const std::string& name) {
  return {{name, Linear(1, 1)}, {"other", Linear(1, 1)}};
}

void reload(const torch::nn::Module& from, torch::nn::Module& to) {
  torch::serialize::OutputArchive out;
  from.save(out);
  std::stringstream stream;
  out.save_to(stream);
  torch::serialize::InputArchive in;
  in.load_from(stream);
  load_checked(to, in);
}

// Whether a gate takes the name; what it takes has to load.
bool accepts(const std::string& name) {
  ChoiceBlock<Linear> from = nullptr;
  try {
    from = block_of_name(name);
  } catch (const c10::ValueError&) {
    return false;
  }
  auto to = block_of_name(name);
  CAPTURE(name);
  REQUIRE_NOTHROW(reload(*from, *to));
  CHECK(bit_equal(to->branch(0)->weight, from->branch(0)->weight));
  return true;
}

std::set<std::string> torchscript_words() {
  std::set<std::string> words = {
      "__annotations__", "__buffers__", "__parameters__"};
#define ADD_WORD(token, name, text) words.insert(text);
  TC_FORALL_TOKEN_KINDS(ADD_WORD)
#undef ADD_WORD
  return words;
}

}  // namespace

TEST_CASE(
    "branch names: those that the field uses are accepted, and load",
    "[named_branch][serialize]") {
  for (const std::string name :
       {"3x3_MBConv6",
        "k=3;s=1",
        "a/b",
        "conv 3x3",
        "0",
        "-1",
        "\u00fcn\u00efcode",
        "\u8def",
        "it's",
        "skip",
        "training",
        "self",
        "async",
        "iffy",
        "None_"}) {
    CHECK(accepts(name));
  }
}

TEST_CASE(
    "branch names: what an archive cannot give back is refused",
    "[named_branch][serialize][error]") {
  for (const std::string name :
       {"pass",
        "or",
        "with",
        "if",
        "in",
        "class",
        "None",
        "True",
        "__parameters__",
        "a\"b",
        "a\\b",
        "a\nb"}) {
    CAPTURE(name);
    CHECK_FALSE(accepts(name));
    CHECK_THAT(
        message_of<c10::ValueError>([&] { block_of_name(name); }),
        ContainsSubstring(
            "ChoiceBlock: expected branch names that a checkpoint can hold, "
            "got '" +
            name + "' for branch 0: "));
  }
}

TEST_CASE(
    "branch names: no accepted name is lost", "[named_branch][serialize]") {
  for (const std::string& word : torchscript_words()) {
    accepts(word);
    accepts(word + "_");
  }
  std::string name;
  for (int byte = 1; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    accepts({c});
    accepts({'a', c});
    accepts({c, 'a'});
    accepts({'i', 'f', c});
  }
  const std::string letters = "aif1_ =;/-+*()[]{}:,#'\"\\\n\t<>!?&|^%$@~`";
  std::mt19937 random(20261126);  // NOLINT: the same names in each run
  int accepted = 0;
  for (int i = 0; i < 1000; ++i) {
    name.clear();
    for (auto length = 1 + random() % 6; length > 0; --length) {
      name += letters[random() % letters.size()];
    }
    accepted += accepts(name) ? 1 : 0;
  }
  CHECK(accepted > 300);
}

TEST_CASE(
    "PathLogits: a gate's name that an archive cannot give back is refused",
    "[path_logits][serialize][error]") {
  torch::nn::Sequential net({{"pass", block_of_name("a")}});
  CHECK_THAT(
      message_of<c10::ValueError>([&] { PathLogits(PathSpace(net)); }),
      ContainsSubstring("PathLogits: expected gate names that a checkpoint can "
                        "hold, got 'pass': "));
  const auto inner = holder();
  inner->add("x", block_of_name("a").ptr());
  const auto nested = holder();
  nested->add("pass", inner);
  const PathSpace space(nested);
  const PathLogits from(space);
  {
    const torch::NoGradGuard no_grad;
    from->logits(0).fill_(3);
  }
  PathLogits to(space);
  reload(*from, *to);
  CHECK(bit_equal(to->logits(0), from->logits(0)));
}
