// SPDX-License-Identifier: MIT
#include "net_report.hpp"

#include "net.hpp"
#include "output.hpp"
#include "path_search.hpp"

#include <gatedpaths/search/cost_model.hpp>

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <cstdio>

namespace nas_bench_macro {
namespace {

/// 33.60 M, in the benchmark's units.
std::string millions(std::int64_t number) {
  return fmt::format("{:.2f} M", static_cast<double>(number) / 1e6);
}

}  // namespace

std::string net_line(
    const std::string& what,
    const Table& table,
    const Record& record,
    std::int64_t most_flops) {
  return fmt::format(
      "{:<17} {}  {:>7} parameters  {:>8} FLOPs  {:.2f} %  {}\n",
      what,
      record.architecture,
      millions(record.parameters),
      millions(record.flops),
      record.accuracy(),
      record.flops <= most_flops
          ? fmt::format("rank {}", table.rank(record, most_flops))
          : "above the budget");
}

void report_net(const Options& options) {
  const Table table(NAS_BENCH_MACRO_TABLE);
  const auto& record = table.at(options.net);
  const auto cost = published_cost();
  const auto counted = cost.of(path_of(*cost.layout(), options.net));
  TORCH_CHECK(
      counted.macs == record.flops && counted.parameters == record.parameters,
      fmt::format(
          "expected the published {} FLOPs and {} parameters, counted {} and "
          "{}",
          record.flops,
          record.parameters,
          counted.macs,
          counted.parameters));
  const auto most = static_cast<std::int64_t>(options.budget);
  cifar10::write_out(
      stdout,
      net_line("this net", table, record, most) +
          net_line("best in budget", table, table.best(most), most));
}

}  // namespace nas_bench_macro
