// SPDX-License-Identifier: MIT
#include "checksum.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string_view>

namespace cifar10 {
namespace {

using torch::serialize::InputArchive;

/// The length goes first: "a" and "bc" are not "ab" and "c".
void add_text(Fnv1a& hash, std::string_view text) {
  const std::uint64_t size = text.size();
  hash.add(&size, sizeof(size));
  hash.add(text.data(), text.size());
}

void add_tensor(Fnv1a& hash, const torch::Tensor& tensor) {
  add_text(
      hash,
      fmt::format(
          "{} [{}]",
          c10::toString(tensor.scalar_type()),
          fmt::join(tensor.sizes(), ", ")));
  const auto values = tensor.detach().cpu().contiguous();
  hash.add(values.const_data_ptr(), values.nbytes());
}

void collect(
    InputArchive& archive, const std::string& prefix, Content& content) {
  for (const auto& key : archive.keys()) {
    InputArchive nested;
    c10::IValue value;
    if (archive.try_read(key, nested)) {
      collect(nested, prefix + key + '.', content);
    } else if (archive.try_read(key, value)) {
      content[prefix + key] = value;
    }
  }
}

}  // namespace

void Fnv1a::add(const void* data, std::size_t size) {
  const auto* bytes = static_cast<const unsigned char*>(data);
  for (std::size_t i = 0; i < size; ++i) {
    hash_ = (hash_ ^ bytes[i]) * 1099511628211U;
  }
}

std::string Fnv1a::text() const { return fmt::format("{:016x}", hash_); }

Content content_of(InputArchive& archive) {
  Content content;
  collect(archive, "", content);
  content.erase("checksum");
  return content;
}

std::string checksum(const Content& content) {
  Fnv1a hash;
  for (const auto& [name, value] : content) {
    add_text(hash, name);
    if (value.isTensor() && value.toTensor().defined()) {
      add_tensor(hash, value.toTensor());
    } else {
      add_text(hash, value.isString() ? value.toStringRef() : value.tagKind());
    }
  }
  return hash.text();
}

}  // namespace cifar10
