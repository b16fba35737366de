// SPDX-License-Identifier: MIT
// Files of any bytes: refused, with the file's name, or tensors that are
// written and read again as the same.
#include "harnesses.hpp"
#include "promise.hpp"
#include "support/files.hpp"

#include <gatedpaths/exchange/safetensors.hpp>

#include <string>

namespace gatedpaths::fuzz {

void safetensors(Bytes bytes) {
  static const test::TemporaryFolder folder;
  const auto file = folder / "a.safetensors";
  const auto again = folder / "b.safetensors";
  test::write_file(file, std::string(bytes.begin(), bytes.end()));
  StateDict tensors;
  SafetensorsMetadata metadata;
  if (is_refused<c10::Error>("", [&] {
        tensors = load_safetensors(file);
        metadata = safetensors_metadata(file);
      })) {
    return;
  }
  save_safetensors(again, tensors, metadata);
  const auto back = load_safetensors(again);
  require(back.size() == tensors.size(), "all tensors");
  for (const auto& item : tensors) {
    const auto* other = back.find(item.key());
    require(
        other != nullptr && other->dtype() == item.value().dtype() &&
            other->sizes() == item.value().sizes(),
        "a tensor of the same name, dtype and sizes: " + item.key());
    require(
        std::string(
            static_cast<const char*>(other->const_data_ptr()),
            other->nbytes()) ==
            std::string(
                static_cast<const char*>(item.value().const_data_ptr()),
                item.value().nbytes()),
        "the same bits: " + item.key());
  }
  require(safetensors_metadata(again) == metadata, "the same metadata");
}

}  // namespace gatedpaths::fuzz
