// SPDX-License-Identifier: MIT
// Ranking paths of NAS-Bench-Macro's supernet as examples/nas_bench_macro does:
// each on 1,000 images, with batch norm measured anew on 512. The paths are
// those that differ in the last five of the eight blocks; of all 6,561 a path
// has as many stages to itself (1.5 beside the head).
#include "nas_bench_macro/net.hpp"
#include "support/program.hpp"

#include <gatedpaths/gatedpaths.hpp>

#include <ATen/Parallel.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <c10/util/Exception.h>
#include <torch/nn/functional/loss.h>
#include <torch/utils.h>

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <vector>

namespace {

namespace gp = gatedpaths;

torch::Tensor loss(const torch::Tensor& output, const torch::Tensor& target) {
  return torch::nn::functional::cross_entropy(output, target)
      .to(torch::kDouble);
}

class MacroRanking {
 public:
  explicit MacroRanking(bool quick)
      : net_(made(quick)), space_(net_), side_(quick ? 8 : 32) {
    at::set_num_threads(1);
    std::uint64_t paths = 1;
    for (int i = 0; i < (quick ? 2 : 5); ++i) {
      paths *= nas_bench_macro::kChoices;
    }
    const auto middle = space_.size() / 2 / paths * paths;
    for (std::uint64_t i = 0; i < paths; ++i) {
      paths_.push_back(space_.at(middle + i));
    }
    const std::int64_t images = quick ? 4 : 1000;
    batches_.emplace_back(
        made_images(images), at::randint(10, {images}, torch::kLong));
    recalibration_.push_back(made_images(quick ? 4 : 512));
  }

  std::size_t size() const { return paths_.size(); }

  std::vector<double> plain() { return evaluate({}); }
  std::vector<double> stages() {
    return evaluate(gp::EvaluateOptions().stages(net_->stages()));
  }

 private:
  static nas_bench_macro::Net made(bool quick) {
    torch::manual_seed(0);
    return nas_bench_macro::Net(
        nas_bench_macro::NetOptions{.width = quick ? 0.125 : 0.25});
  }

  torch::Tensor made_images(std::int64_t count) const {
    return at::randn({count, 3, side_, side_})
        .contiguous(torch::MemoryFormat::ChannelsLast);
  }

  std::vector<double> evaluate(gp::EvaluateOptions options) {
    std::vector<double> values;
    for (const auto& result : gp::evaluate(
             net_,
             space_,
             paths_,
             batches_,
             loss,
             options.recalibrate_on(recalibration_))) {
      values.push_back(result.values[0]);
    }
    return values;
  }

  nas_bench_macro::Net net_;
  gp::PathSpace space_;
  std::int64_t side_;
  std::vector<gp::Path> paths_;
  std::vector<gp::EvaluationBatch> batches_;
  std::vector<torch::Tensor> recalibration_;
};

std::vector<bench::Group> make_groups(const bench::Settings& settings) {
  const bool quick = settings.quick;
  bench::Group group;
  group.check = [=] {
    MacroRanking ranking(quick);
    TORCH_CHECK(
        ranking.plain() == ranking.stages(),
        "macro_ranking: expected the same bits from stages as from whole "
        "forwards");
  };
  const auto add = [&](const char* form, auto run) {
    group.rows.push_back(
        {fmt::format("macro_ranking/{}/paths:{}", form, quick ? 9 : 243),
         [=](benchmark::State& state) {
           MacroRanking ranking(quick);
           for (auto _ : state) {
             benchmark::DoNotOptimize((ranking.*run)());
           }
         },
         benchmark::kMillisecond});
  };
  add("plain", &MacroRanking::plain);
  add("stages", &MacroRanking::stages);
  return {group};
}

}  // namespace

int main(int argc, char** argv) {
  bench::keep_freed_memory();
  return bench::run_program(
      argc, argv, make_groups, {.repetitions = 3, .seconds = 0.001});
}
