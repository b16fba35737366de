// SPDX-License-Identifier: MIT
#include <gatedpaths/exchange/checkpoint.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <sstream>
#include <string>
#include <vector>

namespace gatedpaths {
namespace {

namespace nn = torch::nn;

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using test::message_of;

torch::serialize::InputArchive archive_of(const nn::Module& module) {
  torch::serialize::OutputArchive out;
  module.save(out);
  std::stringstream stream;
  out.save_to(stream);
  torch::serialize::InputArchive in;
  in.load_from(stream);
  return in;
}

nn::Sequential net(int64_t hidden = 4) {
  return nn::Sequential(
      nn::Linear(3, hidden), nn::BatchNorm1d(hidden), nn::Linear(hidden, 2));
}

using Tensors = std::vector<torch::Tensor>;

Tensors tensors_of(const nn::Module& module) {
  auto tensors = module.parameters();
  const auto buffers = module.buffers();
  tensors.insert(tensors.end(), buffers.begin(), buffers.end());
  return tensors;
}

Tensors copies(const Tensors& tensors) {
  Tensors result;
  for (const auto& tensor : tensors) {
    result.push_back(tensor.detach().clone());
  }
  return result;
}

bool same(const Tensors& a, const Tensors& b) {
  return std::equal(
      a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
        return x.equal(y);
      });
}

bool same(const nn::Module& a, const nn::Module& b) {
  return same(tensors_of(a), tensors_of(b));
}

}  // namespace

TEST_CASE(
    "load_checked: fills the module's own tensors", "[checkpoint][serialize]") {
  auto saved = net();
  saved->forward(torch::rand({5, 3}));  // moves the BatchNorm's statistics
  auto loaded = net();
  loaded->parameters()[0].set_requires_grad(false);
  const auto weight = loaded->parameters()[0];
  const auto* storage = weight.data_ptr();
  auto archive = archive_of(*saved);
  load_checked(*loaded, archive);

  CHECK(same(*saved, *loaded));
  CHECK(weight.data_ptr() == storage);
  CHECK_FALSE(weight.requires_grad());
  CHECK(loaded->parameters()[1].requires_grad());

  SECTION("so that an archive may be loaded twice") {
    auto second = net();
    load_checked(*second, archive);
    const torch::NoGradGuard no_grad;
    second->parameters()[0].zero_();
    CHECK(same(*saved, *loaded));
  }
}

TEST_CASE(
    "load_checked: names every difference and changes nothing",
    "[checkpoint][error]") {
  const auto refused = [](nn::Module& module, const nn::Module& saved) {
    const auto before = copies(tensors_of(module));
    auto archive = archive_of(saved);
    auto message =
        message_of<c10::Error>([&] { load_checked(module, archive); });
    CHECK(same(tensors_of(module), before));
    return message;
  };

  SECTION("sizes") {
    nn::Linear module(3, 2);
    CHECK(
        refused(*module, *nn::Linear(4, 2)) ==
        "load_checked: parameter 'weight': expected [2, 3] Float, got [2, 4] "
        "Float");
  }
  SECTION("dtype") {
    nn::Linear module(nn::LinearOptions(3, 2).bias(false));
    nn::Linear saved(nn::LinearOptions(3, 2).bias(false));
    saved->to(torch::kDouble);
    CHECK(
        refused(*module, *saved) ==
        "load_checked: parameter 'weight': expected [2, 3] Float, got [2, 3] "
        "Double");
  }
  SECTION("missing and unexpected keys") {
    nn::Sequential module({{"a", nn::Linear(3, 2)}, {"b", nn::ReLU()}});
    nn::Sequential saved({{"c", nn::Linear(3, 2)}, {"b", nn::ReLU()}});
    CHECK(
        refused(*module, *saved) ==
        "load_checked: missing 'a.weight', 'a.bias'; unexpected 'c'");
  }
  SECTION("nested, with buffers") {
    const auto message = refused(*net(5), *net());
    CHECK_THAT(
        message,
        StartsWith("load_checked: parameter '0.weight': expected [5, 3] Float, "
                   "got [4, 3] Float; parameter '0.bias'"));
    CHECK_THAT(
        message,
        ContainsSubstring("; buffer '1.running_mean': expected [5] Float, got "
                          "[4] Float"));
  }
}

}  // namespace gatedpaths
