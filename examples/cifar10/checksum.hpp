// SPDX-License-Identifier: MIT
// What says that a checkpoint's content is the one that was saved. LibTorch
// does not compare the checksums of the archive's own records.
#pragma once

#include <ATen/core/ivalue.h>
#include <torch/serialize/archive.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace cifar10 {

/// The 64-bit hash FNV-1a: a single byte that differs always gives another one.
class Fnv1a {
 public:
  void add(const void* data, std::size_t size);
  /// Sixteen digits.
  std::string text() const;

 private:
  std::uint64_t hash_ = 14695981039346656037U;
};

/// Texts and tensors by their names in an archive, with dots between nested
/// names.
using Content = std::map<std::string, c10::IValue>;

/// All that is in an archive but for its "checksum".
Content content_of(torch::serialize::InputArchive& archive);

/// Of every name, text, dtype, size and value, on whatever device they are.
std::string checksum(const Content& content);

}  // namespace cifar10
