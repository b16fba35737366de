// SPDX-License-Identifier: MIT
#include "metrics.hpp"

#include <gatedpaths/exchange/checkpoint.hpp>

#include <c10/util/Exception.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <utility>

namespace cifar10 {
namespace {

namespace fs = std::filesystem;

std::ofstream open(const fs::path& file, std::ios::openmode mode) {
  errno = 0;
  std::ofstream stream(file, mode);
  TORCH_CHECK(
      stream,
      "metrics: expected a file that can be written, got '",
      file.string(),
      "': ",
      std::strerror(errno));
  return stream;
}

/// The text of this name in an event; null where there is none.
const std::string* text_of(const ReadJson& event, const char* name) {
  const auto found = event.find(name);
  return found == event.end() ? nullptr : found->get_ptr<const std::string*>();
}

/// Of an event of one epoch.
std::optional<std::int64_t> epoch_of(const ReadJson& event) {
  const auto found = event.find("epoch");
  const bool is_count = found != event.end() && found->is_number_integer() &&
                        *found >= 0 &&
                        *found <= std::numeric_limits<std::int64_t>::max();
  return is_count ? std::optional(found->get<std::int64_t>()) : std::nullopt;
}

bool is_of_epoch(const std::string& name) {
  return name == "epoch" || name == "test";
}

/// What a program writes in one line, or another version of it.
bool is_event(const ReadJson& json) {
  const auto* name = json.is_object() ? text_of(json, "event") : nullptr;
  return name != nullptr && (!is_of_epoch(*name) || epoch_of(json)) &&
         (*name != "start" || !json.contains("run") ||
          text_of(json, "run") != nullptr);
}

/// Goes through the lines of a file, and keeps what a resumed run does not
/// write again. Throws at what is not of this run's metrics.
class OldLines {
 public:
  OldLines(const fs::path& file, std::int64_t epochs_done, std::string run)
      : file_(file), epochs_done_(epochs_done), run_(std::move(run)) {}

  void add(const std::string& line) {
    const auto event =
        ReadJson::parse(line, nullptr, /*allow_exceptions=*/false);
    if (event.is_discarded()) {
      // What a process wrote when it was killed.
      require_start(has_start_ || line.starts_with("{\"event\""));
      return;
    }
    const auto* name = is_event(event) ? text_of(event, "event") : nullptr;
    const bool is_start = name != nullptr && *name == "start";
    require_start(has_start_ || is_start);
    TORCH_CHECK_VALUE(
        name != nullptr,
        "metrics: expected an event a line, got '",
        line.substr(0, 100),
        "' in '",
        file_.string(),
        "'; name a new file");
    if (is_start) {
      require_run(event);
    }
    if (is_start || (is_of_epoch(*name) && *epoch_of(event) <= epochs_done_)) {
      kept_ += line + '\n';
      if (*name == "test") {
        last_test_ = std::max(last_test_, *epoch_of(event));
      }
    }
  }

  const std::string& kept() const { return kept_; }
  std::int64_t last_test() const { return last_test_; }

 private:
  void require_start(bool has_start) const {
    TORCH_CHECK_VALUE(
        has_start,
        "metrics: expected a file that starts with the \"start\" of a run, got "
        "'",
        file_.string(),
        "' with other content; name a new file");
  }

  void require_run(const ReadJson& start) {
    const auto* run = text_of(start, "run");
    const auto other = run == nullptr ? std::string() : *run;
    TORCH_CHECK_VALUE(
        other == run_,
        "metrics: expected those of the run in the checkpoint, '",
        run_,
        "', got those of another one, '",
        other,
        "', in '",
        file_.string(),
        "'; name its own file, or a new one");
    has_start_ = true;
  }

  const fs::path& file_;
  std::int64_t epochs_done_;
  std::string run_;
  bool has_start_ = false;
  std::string kept_;
  std::int64_t last_test_ = 0;
};

}  // namespace

void require_writable(const fs::path& file) { open(file, std::ios::app); }

Metrics::Metrics(const fs::path& file)
    : file_(file), stream_(open(file, std::ios::trunc)) {}

Metrics::Metrics(
    const fs::path& file, std::int64_t epochs_done, const std::string& run)
    : file_(file) {
  if (fs::exists(file) && !fs::is_regular_file(file)) {  // as a pipe
    stream_ = open(file, std::ios::app);
    return;
  }
  OldLines lines(file, epochs_done, run);
  std::ifstream old(file);
  for (std::string line; std::getline(old, line);) {
    lines.add(line);
  }
  last_test_ = lines.last_test();
  const auto& kept = lines.kept();
  gatedpaths::save_atomically(file, [&kept](const gatedpaths::ByteSink& sink) {
    sink(kept.data(), kept.size());
  });
  stream_ = open(file, std::ios::app);
}

void Metrics::write(const Json& event) {
  if (file_.empty()) {
    return;
  }
  errno = 0;
  // The name of a folder need not be UTF-8, which JSON is.
  stream_ << event.dump(-1, ' ', false, Json::error_handler_t::replace)
          << std::endl;
  TORCH_CHECK(
      stream_,
      "metrics: cannot write to '",
      file_.string(),
      "': ",
      std::strerror(errno));
}

}  // namespace cifar10
