// SPDX-License-Identifier: MIT
// NAS-Bench-201: what a net of its space costs, and what it reached after 12
// epochs of training.
//
//   nas_bench_201 --classes 100 --budget 100e6
#include "architecture.hpp"
#include "net.hpp"
#include "table.hpp"

#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/search/cost_model.hpp>

#include <c10/util/Exception.h>
#include <torch/types.h>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <cstdint>
#include <exception>
#include <iostream>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace {

namespace gp = gatedpaths;
using nas_bench_201::Images;
using nas_bench_201::Record;
using nas_bench_201::Table;

struct Options {
  std::string net =
      "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|"
      "nor_conv_3x3~1|nor_conv_3x3~2|";
  std::int64_t classes = 10;
  std::optional<double> budget{};
};

struct DataSet {
  const char* name;
  std::int64_t image_size;
  Images valid;
  Images test;
};

/// By their number of classes.
const std::map<std::int64_t, DataSet> kDataSets = {
    {10, {"CIFAR-10", 32, Images::kCifar10Valid, Images::kCifar10Test}},
    {100, {"CIFAR-100", 32, Images::kCifar100Valid, Images::kCifar100Test}},
    {120,
     {"ImageNet16-120",
      16,
      Images::kImageNet16Valid,
      Images::kImageNet16Test}}};

class Report {
 public:
  explicit Report(const Options& options)
      : options_(options),
        data_(kDataSets.at(options.classes)),
        net_(nas_bench_201::NetOptions{.classes = options.classes}),
        space_(net_),
        cost_(gp::CostModel::measure(
            net_,
            space_,
            torch::zeros({1, 3, data_.image_size, data_.image_size}),
            gp::CostOptions().activations(false))) {}

  void print() const {
    const auto& record = table_.at(options_.net);
    // The one that computes nothing.
    const auto fewest = flops_of(table_.records().front());
    const auto budget =
        options_.budget.value_or(std::numeric_limits<double>::infinity());
    TORCH_CHECK_VALUE(
        budget >= static_cast<double>(fewest),
        fmt::format(
            "--budget: expected at least the {} FLOPs of the smallest net, got "
            "{}",
            fewest,
            budget));
    const auto within = [&](const Record& other) {
      return static_cast<double>(flops_of(other)) <= budget;
    };
    fmt::print("{}, after 12 epochs\n", data_.name);
    print("this net", record, within);
    const std::string where = options_.budget ? " within budget" : "";
    print("best (valid)" + where, table_.best(data_.valid, within), within);
    print("best (test)" + where, table_.best(data_.test, within), within);
  }

 private:
  gp::PathCost cost_of(const Record& record) const {
    return cost_.of(
        nas_bench_201::path_of(*space_.layout(), record.architecture));
  }

  std::int64_t flops_of(const Record& record) const {
    return net_->published_flops(cost_of(record));
  }

  void print(const std::string& what, const Record& record, Table::Takes within)
      const {
    fmt::print("\n{}: {}\n", what, record.architecture);
    fmt::print(
        "  {:.3f} M parameters, {:.2f} M FLOPs\n",
        static_cast<double>(cost_of(record).parameters) / 1e6,
        static_cast<double>(flops_of(record)) / 1e6);
    for (const auto& [name, images] :
         {std::pair{"valid", data_.valid}, std::pair{"test", data_.test}}) {
      fmt::print(
          "  {:<5} {:6.3f} %  {}\n",
          name,
          record.accuracy(images),
          within(record)
              ? fmt::format("rank {}", table_.rank(record, images, within))
              : "above the budget");
    }
  }

  Options options_;
  DataSet data_;
  Table table_{NAS_BENCH_201_TABLE};
  nas_bench_201::Net net_;
  gp::PathSpace space_;
  gp::CostModel cost_;
};

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("What NAS-Bench-201's table says of a net, and what it costs.");
  app.add_option("--net", options.net, "its architecture")
      ->capture_default_str();
  app.add_option(
         "--classes",
         options.classes,
         "10: CIFAR-10, 100: CIFAR-100, 120: ImageNet16-120")
      ->check(CLI::IsMember({10, 100, 120}))
      ->capture_default_str();
  app.add_option(
      "--budget", options.budget, "FLOPs at most, for the ranks and the best");
  CLI11_PARSE(app, argc, argv);
  try {
    Report(options).print();
    return 0;
  } catch (const c10::Error& error) {
    std::cerr << error.what_without_backtrace() << '\n';
  } catch (const std::exception& error) {
    std::cerr << "nas_bench_201: " << error.what() << '\n';
  }
  return 1;
}
