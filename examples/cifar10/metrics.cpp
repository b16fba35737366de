// SPDX-License-Identifier: MIT
#include "metrics.hpp"

#include <gatedpaths/exchange/checkpoint.hpp>

#include <c10/util/Exception.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

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

/// The event of a line that a resumed run keeps; null for the others.
Json kept_event(const std::string& line, std::int64_t epochs_done) {
  auto event = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!event.is_object()) {
    return nullptr;
  }
  const auto name = event.value("event", "");
  const bool keep =
      name == "start" || ((name == "epoch" || name == "test") &&
                          event.value("epoch", epochs_done + 1) <= epochs_done);
  return keep ? event : Json(nullptr);
}

/// That each line of a file, whole or cut short, may be of this run's metrics.
class OriginCheck {
 public:
  OriginCheck(const fs::path& file, const std::string& run)
      : file_(file), run_(run) {}

  void line(const std::string& text) {
    const auto event = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    const bool is_start =
        event.is_object() && event.value("event", Json()) == "start";
    // The first line of a process that was killed while it wrote it.
    const bool is_cut = event.is_discarded() && text.starts_with("{\"event\"");
    TORCH_CHECK_VALUE(
        has_start_ || is_start || is_cut,
        "metrics: expected a file that starts with the \"start\" of a run, got "
        "'",
        file_.string(),
        "' with other content; name a new file");
    if (is_start) {
      const auto other = event.value("run", Json(""));
      TORCH_CHECK_VALUE(
          other == run_,
          "metrics: expected those of the run in the checkpoint, '",
          run_,
          "', got those of another one, ",
          other.dump(),
          ", in '",
          file_.string(),
          "'; name its own file, or a new one");
      has_start_ = true;
    }
  }

 private:
  const fs::path& file_;
  const std::string& run_;
  bool has_start_ = false;
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
  std::ifstream old(file);
  std::string kept;
  OriginCheck check(file, run);
  for (std::string line; std::getline(old, line);) {
    check.line(line);
    const auto event = kept_event(line, epochs_done);
    if (event.is_null()) {
      continue;
    }
    kept += line + '\n';
    if (event["event"] == "test") {
      last_test_ = std::max(last_test_, event["epoch"].get<std::int64_t>());
    }
  }
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
