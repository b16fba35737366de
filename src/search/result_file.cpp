// SPDX-License-Identifier: MIT
#include "result_file.hpp"

#include <c10/util/Exception.h>

#include <utility>

namespace gatedpaths::detail {
namespace {

constexpr int kResultFileVersion = 1;

OrderedJson result_head(const SpaceLayout& layout, const ResultFileHead& head) {
  return {
      {"gatedpaths_evaluation", kResultFileVersion},
      {"space", hash_text(layout.hash())},
      {"metric", head.metric},
      {"batches", head.batches},
      {"samples", head.samples}};
}

}  // namespace

ResultFile::ResultFile(
    std::filesystem::path file,
    const SpaceLayout& layout,
    const ResultFileHead& head)
    : layout_(layout),
      lines_(
          std::move(file), result_head(layout, head), {"evaluate", "result"}) {
  lines_.read([&](const ParsedJson& object) {
    std::vector<double> values;
    for (const auto& value : object.at("values")) {
      values.push_back(number_of_json(value));
    }
    TORCH_CHECK_VALUE(
        values.size() == head.metric.size(),
        "expected ",
        head.metric.size(),
        " values, got ",
        values.size());
    results_[layout_.parse(object.at("path").get<std::string>())] =
        std::move(values);
  });
}

const std::vector<double>* ResultFile::find(const Path& path) const {
  const auto found = results_.find(path);
  return found == results_.end() ? nullptr : &found->second;
}

void ResultFile::add(const Path& path, const std::vector<double>& values) {
  const auto text = layout_.to_string(path);
  OrderedJson object = {{"path", text}};
  for (const double value : values) {
    object["values"].push_back(json_number(value));
  }
  lines_.append(object, text);
}

}  // namespace gatedpaths::detail
