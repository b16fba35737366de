// SPDX-License-Identifier: MIT
#include <gatedpaths/exchange/checkpoint.hpp>
#include <gatedpaths/exchange/safetensors.hpp>

#include "input_file.hpp"
#include "safetensors_header.hpp"
#include "safetensors_index.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <deque>
#include <string>
#include <utility>
#include <vector>

namespace gatedpaths {
namespace {

namespace fs = std::filesystem;

static_assert(
    std::endian::native == std::endian::little,
    "safetensors files are read and written as they are in memory");

constexpr const char* kSaveName = "save_safetensors";

// ---- Writing ----

void check_can_be_saved(const std::string& name, const at::Tensor& tensor) {
  std::string got;
  if (!tensor.defined()) {
    got = "an undefined one";
  } else if (tensor.layout() != at::kStrided) {
    got = c10::str("one of layout ", tensor.layout());
  } else if (tensor.is_meta()) {
    got = "a meta tensor, without values";
  } else if (detail::safetensors_dtype(tensor.scalar_type()).empty()) {
    got = c10::str("one of ", tensor.scalar_type());
  }
  TORCH_CHECK_VALUE(
      got.empty(),
      kSaveName,
      ": expected a strided tensor of a dtype that the format has for '",
      name,
      "', got ",
      got);
  TORCH_CHECK_VALUE(
      name != "__metadata__",
      kSaveName,
      ": expected another name than '__metadata__' for a tensor");
}

// Such dtypes first that need the most alignment, as the format's own writer
// does: each tensor is then aligned for its elements.
std::vector<StateDict::Item> in_file_order(const StateDict& tensors) {
  std::vector<StateDict::Item> items(tensors.begin(), tensors.end());
  std::stable_sort(
      items.begin(), items.end(), [](const auto& a, const auto& b) {
        const auto size_a = a.value().element_size();
        const auto size_b = b.value().element_size();
        return size_a != size_b ? size_a > size_b : a.key() < b.key();
      });
  return items;
}

// Numbers of which the format says nothing are as they are in memory.
at::Tensor as_saved(const at::Tensor& tensor) {
  return tensor.detach().to(at::kCPU).resolve_conj().resolve_neg().contiguous();
}

void write_file(
    const fs::path& path,
    const StateDict& tensors,
    const SafetensorsMetadata& metadata) {
  const auto items = in_file_order(tensors);
  detail::SafetensorsHeader header{.entries = {}, .metadata = metadata};
  uint64_t end = 0;
  for (const auto& item : items) {
    const auto& tensor = item.value();
    const uint64_t begin = std::exchange(end, end + tensor.nbytes());
    header.entries.push_back(
        {.name = item.key(),
         .dtype = tensor.scalar_type(),
         .sizes = tensor.sizes().vec(),
         .begin = begin,
         .end = end});
  }
  const auto bytes = detail::safetensors_header_bytes(kSaveName, header);
  save_atomically(path, [&](const ByteSink& sink) {
    sink(bytes.data(), bytes.size());
    for (const auto& item : items) {
      const auto tensor = as_saved(item.value());
      sink(tensor.const_data_ptr(), tensor.nbytes());
    }
  });
}

void check_all(const StateDict& tensors) {
  for (const auto& item : tensors) {
    check_can_be_saved(item.key(), item.value());
  }
}

// ---- Reading ----

uint64_t header_size(const detail::InputFile& file) {
  TORCH_CHECK_VALUE(
      file.size() >= 8,
      file.label(),
      ": expected the 8 bytes of the header's length, got a file of ",
      file.size());
  uint64_t size = 0;
  file.read(&size, sizeof(size), 0);
  TORCH_CHECK_VALUE(
      size <= detail::kMostSafetensorsHeader,
      file.label(),
      ": expected a header of at most ",
      detail::kMostSafetensorsHeader,
      " bytes, got one of ",
      size);
  TORCH_CHECK_VALUE(
      size <= file.size() - 8,
      file.label(),
      ": expected a header of ",
      size,
      " bytes, as it says, got ",
      file.size() - 8,
      " to the end of the file");
  return size;
}

class OpenSafetensors {
 public:
  OpenSafetensors(const char* function, const fs::path& path)
      : file_(function, path), data_begin_(8 + header_size(file_)) {
    std::string text(data_begin_ - 8, '\0');
    file_.read(text.data(), text.size(), 8);
    header_ = detail::parse_safetensors_header(
        file_.label(), text, file_.size() - data_begin_);
  }

  const detail::SafetensorsHeader& header() const { return header_; }

  void load_into(StateDict& tensors, const torch::Device& device) const {
    const at::AutoDispatchBelowAutograd no_graph;
    for (const auto& entry : header_.entries) {
      auto tensor =
          at::empty(entry.sizes, at::TensorOptions().dtype(entry.dtype));
      file_.read(
          tensor.mutable_data_ptr(),
          entry.end - entry.begin,
          data_begin_ + entry.begin);
      tensors.insert(entry.name, tensor.to(device));
    }
  }

 private:
  detail::InputFile file_;
  uint64_t data_begin_;
  detail::SafetensorsHeader header_;
};

bool is_index(const fs::path& path) { return path.extension() == ".json"; }

StateDict load_shards(const fs::path& path, const torch::Device& device) {
  const auto index = detail::SafetensorsIndex::read("load_safetensors", path);
  // All are checked before the first tensor is made.
  std::deque<OpenSafetensors> files;
  for (const auto& name : index.files()) {
    files.emplace_back("load_safetensors", path.parent_path() / name);
    index.check(name, files.back().header());
  }
  StateDict tensors;
  for (const auto& file : files) {
    file.load_into(tensors, device);
  }
  return tensors;
}

}  // namespace

void save_safetensors(
    const fs::path& path,
    const StateDict& tensors,
    const SafetensorsMetadata& metadata) {
  check_all(tensors);
  write_file(path, tensors, metadata);
}

void save_sharded_safetensors(
    const fs::path& index,
    const StateDict& tensors,
    int64_t most_shard_bytes,
    const SafetensorsMetadata& metadata) {
  check_all(tensors);
  TORCH_CHECK_VALUE(
      most_shard_bytes >= 1,
      "save_sharded_safetensors: expected most_shard_bytes of at least 1, got ",
      most_shard_bytes);
  std::vector<StateDict> shards(1);
  uint64_t bytes = 0;
  for (const auto& item : tensors) {
    const auto size = static_cast<uint64_t>(item.value().nbytes());
    if (!shards.back().is_empty() &&
        bytes + size > static_cast<uint64_t>(most_shard_bytes)) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().insert(item.key(), item.value());
    bytes += size;
  }
  const auto written =
      detail::SafetensorsIndex::of("save_sharded_safetensors", index, shards);
  const auto text = written.text(metadata);
  fs::remove(index);
  for (size_t i = 0; i < shards.size(); ++i) {
    write_file(
        index.parent_path() / written.files()[i],
        shards[i],
        {{"format", "pt"}});
  }
  save_atomically(
      index, [&](const ByteSink& sink) { sink(text.data(), text.size()); });
}

StateDict load_safetensors(const fs::path& path, const torch::Device& device) {
  if (is_index(path)) {
    return load_shards(path, device);
  }
  StateDict tensors;
  OpenSafetensors("load_safetensors", path).load_into(tensors, device);
  return tensors;
}

SafetensorsMetadata safetensors_metadata(const fs::path& path) {
  if (is_index(path)) {
    return detail::SafetensorsIndex::read("safetensors_metadata", path)
        .metadata();
  }
  return OpenSafetensors("safetensors_metadata", path).header().metadata;
}

}  // namespace gatedpaths
