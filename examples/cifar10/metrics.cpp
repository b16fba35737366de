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

}  // namespace

void require_writable(const fs::path& file) { open(file, std::ios::app); }

Metrics::Metrics(const fs::path& file)
    : file_(file), stream_(open(file, std::ios::trunc)) {}

Metrics::Metrics(const fs::path& file, std::int64_t epochs_done) : file_(file) {
  std::ifstream old(file);
  std::string kept;
  for (std::string line; std::getline(old, line);) {
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
