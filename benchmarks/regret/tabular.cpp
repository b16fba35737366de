// SPDX-License-Identifier: MIT
#include "regret/tabular.hpp"

#include "nas_bench_201/architecture.hpp"
#include "nas_bench_201/table.hpp"
#include "nas_bench_macro/net.hpp"
#include "nas_bench_macro/table.hpp"

#include <c10/util/Exception.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace bench {
namespace {

// A search that looks up the wrong nets would look like any other.
template <class Records, class TextOf>
void check_order(const Tabular& table, const Records& records, TextOf text_of) {
  for (std::size_t number = 0; number < records.size(); ++number) {
    const auto path = table.layout()->at(number);
    TORCH_CHECK(
        text_of(path) == records[number].architecture,
        "Tabular: expected net ",
        records[number].architecture,
        " in place ",
        number,
        " of ",
        table.name(),
        ", got ",
        text_of(path));
    TORCH_CHECK(
        &table.at(path) == &table.at(table.layout()->at(0)) + number,
        "Tabular: expected the values of place ",
        number,
        " of ",
        table.name(),
        ", got another net's");
  }
}

}  // namespace

Tabular::Tabular(
    std::string name,
    std::string told,
    std::string reported,
    std::shared_ptr<const gatedpaths::SpaceLayout> layout,
    std::int64_t choices,
    std::vector<NetValues> values)
    : name_(std::move(name)),
      told_(std::move(told)),
      reported_(std::move(reported)),
      layout_(std::move(layout)),
      choices_(choices),
      values_(std::move(values)),
      optimum_(std::max_element(
                   values_.begin(),
                   values_.end(),
                   [](const auto& a, const auto& b) {
                     return a.reported < b.reported;
                   })
                   ->reported) {}

const NetValues& Tabular::at(const gatedpaths::Path& path) const& {
  std::int64_t number = 0;
  for (const auto& [gate, open] : path) {
    number = number * choices_ + open.front();
  }
  return values_[static_cast<std::size_t>(number)];
}

Tabular nas_bench_macro_tabular(const std::filesystem::path& file) {
  const nas_bench_macro::Table table(file);
  std::vector<NetValues> values;
  for (const auto& record : table.records()) {
    const auto& accuracies = record.accuracies;
    values.push_back({accuracies[0], (accuracies[1] + accuracies[2]) / 2});
  }
  Tabular tabular(
      "nas_bench_macro",
      "test accuracy of the first training",
      "mean test accuracy of the two other trainings",
      nas_bench_macro::layout(),
      nas_bench_macro::kChoices,
      std::move(values));
  check_order(tabular, table.records(), [](const auto& path) {
    return nas_bench_macro::architecture(path);
  });
  return tabular;
}

Tabular nas_bench_201_tabular(const std::filesystem::path& file) {
  using nas_bench_201::Images;
  const nas_bench_201::Table table(file);
  std::vector<NetValues> values;
  for (const auto& record : table.records()) {
    values.push_back(
        {record.accuracy(Images::kCifar10Valid),
         record.accuracy(Images::kCifar10Test)});
  }
  Tabular tabular(
      "nas_bench_201",
      "accuracy on CIFAR-10's validation images",
      "accuracy on CIFAR-10's test images",
      nas_bench_201::layout(),
      std::ssize(nas_bench_201::kOperations),
      std::move(values));
  check_order(tabular, table.records(), [](const auto& path) {
    return nas_bench_201::architecture(path);
  });
  return tabular;
}

}  // namespace bench
