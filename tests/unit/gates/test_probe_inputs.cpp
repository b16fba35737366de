// SPDX-License-Identifier: MIT
// Probes of a closed branch leave all of the caller's tensors as they are.
#include <gatedpaths/gates/gated_branch.hpp>

#include <array>
#include <cstdint>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/snapshot.hpp"
#include "support/tensors.hpp"

using gatedpaths::GatedBranch;
using gatedpaths::test::all_bit_equal;
using gatedpaths::test::all_zero;
using gatedpaths::test::copies_of;
using gatedpaths::test::Tensors;

namespace {

// Which batches the child refuses, so that the next probe has its turn.
enum class Probes { kEmpty, kSome, kWhole };

// Changes whatever it gets.
struct InPlaceImpl : torch::nn::Module {
  explicit InPlaceImpl(Probes wanted) : probes(wanted) {}

  std::tuple<torch::Tensor, torch::Tensor> forward(
      torch::Tensor x,
      torch::Tensor table,
      const std::optional<torch::Tensor>& scale,
      std::vector<torch::Tensor> list,
      std::tuple<torch::Tensor, torch::Tensor> state,
      std::pair<torch::Tensor, int64_t> pair,
      std::array<torch::Tensor, 2> array,
      at::TensorList references) {
    ++calls;
    const int64_t samples = x.size(0);
    TORCH_CHECK(
        probes == Probes::kEmpty || samples > 0, "no samples, as asked for");
    TORCH_CHECK(
        probes != Probes::kWhole || samples == 5, "few samples, as asked for");
    x.add_(1);
    table.mul_(2);
    if (scale) {
      scale->fill_(3);
    }
    for (auto& tensor : list) {
      tensor.zero_();
    }
    std::get<0>(state).add_(4);
    std::get<1>(state).add_(5);
    pair.first.add_(6);
    array[0].add_(7);
    array[1].add_(8);
    for (const auto& tensor : references) {
      tensor.add_(9);
    }
    return {x.mm(table), x.sum(1)};
  }

  Probes probes;
  int calls = 0;
};
TORCH_MODULE(InPlace);

// Tensors whose first dim is the batch, and others.
struct Arguments {
  Tensors tensors = {
      torch::randn({5, 3}),
      torch::randn({3, 2}),
      torch::randn({1}),
      torch::randn({5, 2}),
      torch::randn({7}),
      torch::randn({5}),
      torch::randn({2, 5}),
      torch::randn({}),
      torch::randn({5, 1}),
      torch::randn({6}),
      torch::randn({5, 2}),
      torch::randn({2})};

  template <class Call>
  auto pass(const Call& call) const {
    const auto& t = tensors;
    const Tensors references = {t[10], t[11]};
    return call(
        t[0],
        t[1],
        std::optional<torch::Tensor>(t[2]),
        Tensors{t[3], t[4]},
        std::tuple(t[5], t[6]),
        std::pair<torch::Tensor, int64_t>(t[7], 1),
        std::array<torch::Tensor, 2>{t[8], t[9]},
        at::TensorList(references));
  }
};

}  // namespace

TEST_CASE(
    "GatedBranch: a probe works in place on copies alone",
    "[gated_branch][forward]") {
  const auto probes = GENERATE(Probes::kEmpty, Probes::kSome, Probes::kWhole);
  CAPTURE(static_cast<int>(probes));
  GatedBranch branch{InPlace(probes)};
  branch->set_open(false);
  const Arguments arguments;
  const auto before = copies_of(arguments.tensors);
  std::vector<int64_t> versions;
  for (const auto& tensor : arguments.tensors) {
    versions.push_back(static_cast<int64_t>(tensor._version()));
  }
  const auto [product, sums] =
      arguments.pass([&](auto&&... args) { return branch->forward(args...); });
  switch (probes) {
    case Probes::kEmpty:
      CHECK(branch->child()->calls == 2);  // no sample, and some
      break;
    case Probes::kSome:
      CHECK(branch->child()->calls == 3);
      break;
    case Probes::kWhole:
      CHECK(branch->child()->calls == 5);
      break;
  }
  CHECK(all_bit_equal(arguments.tensors, before));
  for (size_t i = 0; i < versions.size(); ++i) {
    CHECK(static_cast<int64_t>(arguments.tensors[i]._version()) == versions[i]);
  }
  CHECK(product.sizes() == torch::IntArrayRef({5, 2}));
  CHECK(sums.sizes() == torch::IntArrayRef({5}));
  CHECK(all_zero(product));
  CHECK(all_zero(sums));
}

TEST_CASE(
    "GatedBranch: a probe for gates of each sample works on copies too",
    "[gated_branch][forward]") {
  const auto probes = GENERATE(Probes::kEmpty, Probes::kWhole);
  CAPTURE(static_cast<int>(probes));
  GatedBranch branch(
      InPlace(probes), gatedpaths::GatedBranchOptions().sample_arguments({0}));
  const Arguments arguments;
  const auto before = copies_of(arguments.tensors);
  const auto none = torch::zeros({5}, torch::kBool);
  arguments.pass(
      [&](auto&&... args) { return branch->forward_samples(none, args...); });
  CHECK(branch->child()->calls > 0);
  CHECK(all_bit_equal(arguments.tensors, before));
}
