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
#include <limits>
#include <map>
#include <optional>
#include <regex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace bench {
namespace {

constexpr auto kHelp = R"(Usage: {} [flags]

  --quick         the smallest settings, each row once: no figures to judge by
  --filter REGEX  only rows whose name it is found in
  --json FILE     write Google Benchmark's JSON of all rows there
  --same-path     the same path open in every step; else one is drawn for each
  --repetitions N rounds, in each of which every row runs once ({})
  --list          names of the rows
  --help          this

--benchmark_... flags are Google Benchmark's own; --benchmark_min_time={} is the
default here.
)";

// A row whose iteration takes longer, where others take less than a quarter of
// that, runs in a third of the rounds only.
constexpr double kSlowSeconds = 0.25;

struct Flags {
  Settings settings;
  std::optional<std::regex> filter;
  std::string json;
  std::optional<int> repetitions;
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
    } else if (flag == "--repetitions") {
      const auto text = value();
      TORCH_CHECK_VALUE(
          std::regex_match(text, std::regex("[1-9][0-9]{0,5}")),
          "--repetitions: expected a number of at least 1, got '",
          text,
          "'");
      flags.repetitions = std::stoi(text);
    } else if (flag == "--list") {
      flags.list = true;
    } else if (flag == "--help") {
      flags.help = true;
    } else {
      TORCH_CHECK_VALUE(
          !flag.starts_with("--benchmark_repetitions"),
          "expected --repetitions N, got ",
          flag,
          ": its repetitions would not be interleaved");
      flags.others.emplace_back(flag);
    }
  }
  return flags;
}

/// Hands Google Benchmark its flags; later ones win over these defaults.
bool initialize(const char* program, const Flags& flags, const Effort& effort) {
  std::vector<std::string> arguments = {
      program, fmt::format("--benchmark_min_time={}", effort.seconds)};
  // The rows of a round in another order each time.
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

/// Puts several runs of Google Benchmark into one table of medians and one file
/// of all repetitions.
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

  void begin_round(int round, int rounds) {
    round_ = round;
    rounds_ = rounds;
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
    for (Run run : runs) {
      run.run_name.iterations.clear();  // fixed by us, no part of the row
      run.repetitions = rounds_;
      run.repetition_index = round_;
      json_.ReportRuns({run});
      if (run.iterations > 0) {  // else it stopped with an error
        runs_[run.benchmark_name()].push_back(run);
      }
    }
  }

  /// The repetitions of a row so far.
  const std::vector<Run>& of(const std::string& name) const {
    static const std::vector<Run> none;
    const auto found = runs_.find(name);
    return found == runs_.end() ? none : found->second;
  }

  static double seconds(const Run& run) {
    return run.real_accumulated_time / static_cast<double>(run.iterations);
  }

  void finish_group(const Group& group) {
    for (const auto& row : group.rows) {
      if (!of(row.name).empty()) {
        report_median(of(row.name));
      }
    }
    runs_.clear();
  }

  void finish() {
    if (started_) {
      console_.Finalize();
      json_.Finalize();
    }
  }

 private:
  void report_median(const std::vector<Run>& runs) {
    Run median = runs.front();
    median.run_type = Run::RT_Aggregate;
    median.aggregate_name = "median";
    median.aggregate_unit = benchmark::kTime;
    median.iterations = static_cast<benchmark::IterationCount>(runs.size());
    const auto of_all = [&](double Run::*accumulated) {
      std::vector<double> values;
      for (const auto& run : runs) {
        values.push_back(
            run.*accumulated / static_cast<double>(run.iterations));
      }
      return middle(std::move(values)) * static_cast<double>(runs.size());
    };
    median.real_accumulated_time = of_all(&Run::real_accumulated_time);
    median.cpu_accumulated_time = of_all(&Run::cpu_accumulated_time);
    console_.ReportRuns({median});
    json_.ReportRuns({median});
  }

  static double middle(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const auto half = values.size() / 2;
    return values.size() % 2 == 1 ? values[half]
                                  : (values[half - 1] + values[half]) / 2;
  }

  benchmark::ConsoleReporter console_;
  benchmark::JSONReporter json_;
  std::ofstream file_;
  std::size_t name_width_;
  std::map<std::string, std::vector<Run>> runs_;
  int round_ = 0;
  int rounds_ = 1;
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

/// Seconds an iteration in the first round; infinity where the row has none.
double first_seconds(const Row& row, const Reporter& reporter) {
  const auto& runs = reporter.of(row.name);
  return runs.empty() ? std::numeric_limits<double>::infinity()
                      : Reporter::seconds(runs.front());
}

/// Each round runs every row once, in random order: what disturbs the machine
/// for a while disturbs all rows of a round, whose times are compared in pairs.
/// The first round finds out how many iterations a row needs, and which are
/// slow.
void run_group(const Group& group, Reporter& reporter, int rounds) {
  if (group.check) {
    group.check();
  }
  double slow = std::numeric_limits<double>::infinity();
  for (int round = 0; round < rounds; ++round) {
    benchmark::ClearRegisteredBenchmarks();
    bool any = false;
    for (const auto& row : group.rows) {
      const auto& before = reporter.of(row.name);
      if (round > 0 && before.empty()) {
        continue;  // an error, or left out by Google Benchmark's own filter
      }
      if (round >= std::max(3, rounds / 3) &&
          first_seconds(row, reporter) > slow) {
        continue;
      }
      auto* registered =
          benchmark::RegisterBenchmark(row.name.c_str(), row.run);
      registered->Unit(row.unit);
      if (round > 0) {
        registered->Iterations(before.front().iterations);
      }
      any = true;
    }
    if (any) {
      reporter.begin_round(round, rounds);
      benchmark::RunSpecifiedBenchmarks(&reporter);
    }
    if (round == 0) {
      for (const auto& row : group.rows) {
        slow = std::min(slow, 4 * first_seconds(row, reporter));
      }
      slow = std::max(slow, kSlowSeconds);
    }
  }
  reporter.finish_group(group);
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
  effort.repetitions = flags.repetitions.value_or(effort.repetitions);
  if (!initialize(argv[0], flags, effort)) {
    return 2;
  }
  add_context(flags.settings);
  Reporter reporter(width, flags.json);
  for (const auto& group : groups) {
    run_group(group, reporter, effort.repetitions);
  }
  reporter.finish();
  return 0;
}

}  // namespace

void keep_freed_memory() {
#ifdef __GLIBC__
  constexpr int kNever = std::numeric_limits<int>::max();
  mallopt(M_MMAP_THRESHOLD, kNever);
  mallopt(M_TRIM_THRESHOLD, kNever);
  mallopt(M_TOP_PAD, 1 << 28);
#endif
}

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
