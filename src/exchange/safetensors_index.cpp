// SPDX-License-Identifier: MIT
#include "safetensors_index.hpp"

#include "input_file.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>
#include <utility>

namespace gatedpaths::detail {
namespace {

using nlohmann::json;

constexpr std::string_view kIndexEnd = ".safetensors.index.json";

// An index has a line a tensor: what is larger is none.
constexpr uint64_t kMostIndexBytes = kMostSafetensorsHeader;

// Of names that come twice the parser would keep the last.
class IndexKeys {
 public:
  explicit IndexKeys(const std::string& label) : label_(label) {}

  bool operator()(int, json::parse_event_t event, const json& parsed) {
    if (event == json::parse_event_t::object_start) {
      keys_.emplace_back();
    } else if (event == json::parse_event_t::object_end) {
      keys_.pop_back();
    } else if (event == json::parse_event_t::key) {
      TORCH_CHECK_VALUE(
          keys_.back().insert(parsed.get<std::string>()).second,
          label_,
          ": expected different names, got '",
          parsed.get<std::string>(),
          "' twice");
    }
    return true;
  }

 private:
  const std::string& label_;
  std::vector<std::set<std::string>> keys_;
};

json parse_index(const std::string& label, const std::string& text) {
  json root;
  std::string reason;
  try {
    root = json::parse(text, IndexKeys(label));
  } catch (const json::exception& exception) {
    reason = exception.what();
  }
  TORCH_CHECK_VALUE(
      reason.empty(),
      label,
      ": expected an index in JSON, got one of which the parser says: ",
      reason);
  return root;
}

bool is_file_name(const std::string& text) {
  return !text.empty() && text != "." && text != ".." &&
         text.find('/') == std::string::npos &&
         text.find('\0') == std::string::npos;
}

}  // namespace

SafetensorsIndex SafetensorsIndex::read(
    std::string_view function, const std::filesystem::path& path) {
  const InputFile file(function, path);
  SafetensorsIndex index;
  index.label_ = file.label();
  TORCH_CHECK_VALUE(
      file.size() <= kMostIndexBytes,
      index.label_,
      ": expected an index of at most ",
      kMostIndexBytes,
      " bytes, got one of ",
      file.size());
  const json root = parse_index(index.label_, file.read_all());
  TORCH_CHECK_VALUE(
      root.is_object() && root.contains("weight_map") &&
          root["weight_map"].is_object(),
      index.label_,
      ": expected an object with a weight_map, which is one of names and "
      "files, got ",
      root.is_object() ? "one without" : root.type_name());
  std::set<std::string> files;
  for (const auto& [tensor, name] : root["weight_map"].items()) {
    TORCH_CHECK_VALUE(
        name.is_string() && is_file_name(name.get<std::string>()),
        index.label_,
        ": expected a file in the same folder for '",
        tensor,
        "', got ",
        name.dump());
    index.file_of_[tensor] = name.get<std::string>();
    files.insert(name.get<std::string>());
  }
  index.files_.assign(files.begin(), files.end());
  if (root.contains("metadata") && !root["metadata"].is_null()) {
    TORCH_CHECK_VALUE(
        root["metadata"].is_object(),
        index.label_,
        ": expected metadata as an object, got ",
        root["metadata"].type_name());
    for (const auto& [key, value] : root["metadata"].items()) {
      index.metadata_[key] =
          value.is_string() ? value.get<std::string>() : value.dump();
    }
  }
  return index;
}

SafetensorsIndex SafetensorsIndex::of(
    std::string_view function,
    const std::filesystem::path& path,
    const std::vector<StateDict>& shards) {
  const std::string file = path.filename().string();
  TORCH_CHECK_VALUE(
      file.size() > kIndexEnd.size() && file.ends_with(kIndexEnd),
      function,
      ": expected a name that ends with '",
      kIndexEnd,
      "', got '",
      path.string(),
      "'");
  const auto stem = file.substr(0, file.size() - kIndexEnd.size());
  SafetensorsIndex index;
  for (size_t i = 0; i < shards.size(); ++i) {
    index.files_.push_back(fmt::format(
        "{}-{:05}-of-{:05}.safetensors", stem, i + 1, shards.size()));
    for (const auto& item : shards[i]) {
      index.file_of_[item.key()] = index.files_.back();
      index.total_size_ += item.value().nbytes();
    }
  }
  return index;
}

void SafetensorsIndex::check(
    const std::string& file, const SafetensorsHeader& header) const {
  size_t expected = 0;
  for (const auto& [tensor, name] : file_of_) {
    expected += name == file ? 1 : 0;
  }
  for (const auto& entry : header.entries) {
    const auto named = file_of_.find(entry.name);
    TORCH_CHECK_VALUE(
        named != file_of_.end() && named->second == file,
        label_,
        ": expected '",
        entry.name,
        "' in ",
        named == file_of_.end() ? "no file" : "'" + named->second + "'",
        ", got it in '",
        file,
        "'");
  }
  TORCH_CHECK_VALUE(
      header.entries.size() == expected,
      label_,
      ": expected ",
      expected,
      " tensors in '",
      file,
      "', got ",
      header.entries.size());
}

std::string SafetensorsIndex::text(const SafetensorsMetadata& metadata) const {
  constexpr const char* kFunction = "save_sharded_safetensors";
  std::string text = "{\n  \"metadata\": {";
  text += fmt::format("\n    \"total_size\": {}", total_size_);
  for (const auto& [key, value] : metadata) {
    TORCH_CHECK_VALUE(
        key != "total_size",
        kFunction,
        ": expected another name than 'total_size', which is said anyway, for "
        "a text of the metadata");
    text += fmt::format(
        ",\n    {}: {}",
        json_text(kFunction, key),
        json_text(kFunction, value));
  }
  text += "\n  },\n  \"weight_map\": {";
  const char* between = "\n";
  for (const auto& [tensor, file] : file_of_) {
    text += fmt::format(
        "{}    {}: {}",
        std::exchange(between, ",\n"),
        json_text(kFunction, tensor),
        json_text(kFunction, file));
  }
  return text + "\n  }\n}\n";
}

}  // namespace gatedpaths::detail
