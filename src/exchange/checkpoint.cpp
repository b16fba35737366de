// SPDX-License-Identifier: MIT
#include <gatedpaths/exchange/checkpoint.hpp>

#include "../text/tensor_text.hpp"
#include "state_copies.hpp"
#include "state_difference.hpp"

#include <c10/util/Exception.h>
#include <torch/types.h>

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gatedpaths {
namespace {

/// Walks the module and the archive side by side.
class Comparison {
 public:
  void walk(
      torch::nn::Module& module,
      torch::serialize::InputArchive& archive,
      const std::string& prefix) {
    std::vector<std::string> known;
    for (const auto& item : module.named_parameters(/*recurse=*/false)) {
      known.push_back(item.key());
      tensor("parameter", prefix, item.key(), item.value(), archive);
    }
    for (const auto& item : module.named_buffers(/*recurse=*/false)) {
      known.push_back(item.key());
      tensor("buffer", prefix, item.key(), item.value(), archive);
    }
    for (const auto& item : module.named_children()) {
      if (!item.value()->is_serializable()) {
        continue;
      }
      known.push_back(item.key());
      child(prefix, item.key(), *item.value(), archive);
    }
    for (const auto& key : archive.keys()) {
      if (std::find(known.begin(), known.end(), key) == known.end()) {
        difference.unexpected(prefix + key);
      }
    }
  }

  detail::StateDifference difference;
  detail::StateCopies copies;

 private:
  void tensor(
      const char* kind,
      const std::string& prefix,
      const std::string& key,
      const torch::Tensor& target,
      torch::serialize::InputArchive& archive) {
    torch::Tensor source;
    if (!target.defined()) {
      return;
    }
    if (!archive.try_read(key, source)) {
      difference.missing(prefix + key);
    } else if (
        !source.defined() || source.sizes() != target.sizes() ||
        source.scalar_type() != target.scalar_type()) {
      difference.unlike(
          kind,
          prefix + key,
          detail::tensor_text(target),
          detail::tensor_text(source));
    } else {
      copies.add(kind, prefix + key, target, source);
    }
  }

  void child(
      const std::string& prefix,
      const std::string& key,
      torch::nn::Module& module,
      torch::serialize::InputArchive& archive) {
    torch::serialize::InputArchive nested;
    if (archive.try_read(key, nested)) {
      walk(module, nested, prefix + key + ".");
      return;
    }
    for (const auto& item : module.named_parameters()) {
      difference.missing(prefix + key + "." + item.key());
    }
    for (const auto& item : module.named_buffers()) {
      difference.missing(prefix + key + "." + item.key());
    }
  }
};

}  // namespace

void load_checked(
    torch::nn::Module& module, torch::serialize::InputArchive& archive) {
  Comparison comparison;
  comparison.walk(module, archive, "");
  comparison.copies.check(comparison.difference);
  comparison.difference.check("load_checked");
  comparison.copies.copy();
}

}  // namespace gatedpaths
