// SPDX-License-Identifier: MIT
#include "support/program.hpp"

#include <gatedpaths/version.hpp>

#include <c10/util/Exception.h>
#include <torch/version.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <optional>
#include <regex>
#include <string_view>

namespace bench {
namespace {

constexpr auto kHelp = R"(Usage: {} [flags]

  --quick         the smallest settings, each row once: no figures to judge by
  --filter REGEX  only rows whose name it is found in
  --json FILE     write Google Benchmark's JSON of all rows there
  --same-path     the same path open in every step; else one is drawn for each
  --list          names of the rows
  --help          this

--benchmark_... flags are Google Benchmark's own; the defaults here are
--benchmark_repetitions={} and --benchmark_min_time={}.
)";

struct Flags {
  Settings settings;
  std::optional<std::regex> filter;
  std::string json;
  bool list = false;
  bool help = false;
  std::vector<std::string> others;
};

Flags parse_flags(int argc, char** argv) {
  Flags flags;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    const auto value = [&]() -> std::string {
      TORCH_CHECK_VALUE(i + 1 < argc, flag, ": expected a value");
      return argv[++i];
    };
    if (flag == "--quick") {
      flags.settings.quick = true;
    } else if (flag == "--same-path") {
      flags.settings.same_path = true;
    } else if (flag == "--filter") {
      flags.filter = std::regex(value());
    } else if (flag == "--json") {
      flags.json = value();
    } else if (flag == "--list") {
      flags.list = true;
    } else if (flag == "--help") {
      flags.help = true;
    } else {
      flags.others.emplace_back(flag);
    }
  }
  return flags;
}

/// Hands Google Benchmark its flags; later ones win over these defaults.
bool initialize(const char* program, const Flags& flags, const Effort& effort) {
  std::vector<std::string> arguments = {
      program,
      fmt::format("--benchmark_repetitions={}", effort.repetitions),
      fmt::format("--benchmark_min_time={}", effort.seconds)};
  arguments.emplace_back("--benchmark_enable_random_interleaving=true");
  arguments.insert(arguments.end(), flags.others.begin(), flags.others.end());

  // Static: Google Benchmark keeps the first of them.
  static std::vector<std::vector<char>> storage;
  std::vector<char*> pointers;
  for (const auto& argument : arguments) {
    storage.emplace_back(argument.c_str(), argument.c_str() + argument.size());
    storage.back().push_back('\0');
  }
  for (auto& argument : storage) {
    pointers.push_back(argument.data());
  }
  int count = static_cast<int>(pointers.size());
  benchmark::Initialize(&count, pointers.data());
  return !benchmark::ReportUnrecognizedArguments(count, pointers.data());
}

/// Puts several runs of Google Benchmark into one table and one file.
class Reporter : public benchmark::BenchmarkReporter {
 public:
  Reporter(std::size_t name_width, const std::string& json)
      : console_(benchmark::ConsoleReporter::OO_Tabular),
        name_width_(name_width) {
    if (!json.empty()) {
      file_.open(json);
      TORCH_CHECK(file_, "--json: cannot write to '", json, "'");
    }
    json_.SetOutputStream(&file_);
  }

  bool ReportContext(const Context& context) override {
    if (!started_) {
      started_ = true;
      Context wide = context;
      wide.name_field_width = name_width_;
      console_.ReportContext(wide);
      json_.ReportContext(context);
    }
    return true;
  }

  void ReportRuns(const std::vector<Run>& runs) override {
    json_.ReportRuns(runs);
    std::vector<Run> shown;
    std::copy_if(
        runs.begin(),
        runs.end(),
        std::back_inserter(shown),
        [](const Run& run) {
          return run.repetitions <= 1 || run.aggregate_name == "median";
        });
    if (!shown.empty()) {
      console_.ReportRuns(shown);
    }
  }

  void finish() {
    if (started_) {
      console_.Finalize();
      json_.Finalize();
    }
  }

 private:
  benchmark::ConsoleReporter console_;
  benchmark::JSONReporter json_;
  std::ofstream file_;
  std::size_t name_width_;
  bool started_ = false;
};

std::vector<Group> chosen_groups(const Flags& flags, const MakeGroups& make) {
  auto groups = make(flags.settings);
  for (auto& group : groups) {
    std::erase_if(group.rows, [&](const Row& row) {
      return flags.filter && !std::regex_search(row.name, *flags.filter);
    });
  }
  std::erase_if(groups, [](const Group& group) { return group.rows.empty(); });
  return groups;
}

void add_context(const Settings& settings) {
  benchmark::AddCustomContext("gatedpaths", std::string(gatedpaths::version()));
  benchmark::AddCustomContext("libtorch", TORCH_VERSION);
  benchmark::AddCustomContext("compiler", __VERSION__);
  benchmark::AddCustomContext("quick", settings.quick ? "yes" : "no");
  benchmark::AddCustomContext(
      "open path", settings.same_path ? "the same" : "drawn for each step");
}

void run_group(const Group& group, Reporter& reporter) {
  if (group.check) {
    group.check();
  }
  benchmark::ClearRegisteredBenchmarks();
  for (const auto& row : group.rows) {
    benchmark::RegisterBenchmark(row.name.c_str(), row.run)->Unit(row.unit);
  }
  benchmark::RunSpecifiedBenchmarks(&reporter);
}

int run(int argc, char** argv, const MakeGroups& make_groups, Effort effort) {
  const Flags flags = parse_flags(argc, argv);
  if (flags.help) {
    fmt::print(kHelp, argv[0], effort.repetitions, effort.seconds);
    return 0;
  }
  const auto groups = chosen_groups(flags, make_groups);
  std::size_t width = 0;
  for (const auto& group : groups) {
    for (const auto& row : group.rows) {
      width = std::max(width, row.name.size() + std::strlen("_median"));
      if (flags.list) {
        fmt::print("{}\n", row.name);
      }
    }
  }
  if (flags.list) {
    return 0;
  }
  if (flags.settings.quick) {
    effort = {.repetitions = 1, .seconds = 0.001};
  }
  if (!initialize(argv[0], flags, effort)) {
    return 2;
  }
  add_context(flags.settings);
  Reporter reporter(width, flags.json);
  for (const auto& group : groups) {
    run_group(group, reporter);
  }
  reporter.finish();
  return 0;
}

}  // namespace

int run_program(
    int argc,
    char** argv,
    const MakeGroups& make_groups,
    const Effort& effort) {
  try {
    return run(argc, argv, make_groups, effort);
  } catch (const c10::Error& error) {
    fmt::print(stderr, "{}: {}\n", argv[0], error.what_without_backtrace());
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}: {}\n", argv[0], error.what());
  }
  return 1;
}

}  // namespace bench
