// SPDX-License-Identifier: MIT
// Archives of any content: load_checked takes all of it or, with its one error,
// nothing.
#include "harnesses.hpp"
#include "input.hpp"
#include "promise.hpp"
#include "small_module.hpp"

#include <gatedpaths/exchange/checkpoint.hpp>

#include <torch/serialize/archive.h>
#include <torch/types.h>

#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace gatedpaths::fuzz {
namespace {

using torch::serialize::InputArchive;
using torch::serialize::OutputArchive;

torch::Tensor any_tensor(Input& input) {
  const std::vector<std::vector<int64_t>> sizes = {
      {2, 3}, {3}, {}, {0}, {1}, {2}, {3, 2}, {2, 3, 1}};
  const std::vector<torch::ScalarType> dtypes = {
      torch::kFloat,
      torch::kDouble,
      torch::kLong,
      torch::kBFloat16,
      torch::kBool,
      torch::kComplexFloat,
      torch::kUInt8};
  const auto& size = sizes[static_cast<size_t>(input.below(8))];
  const auto dtype = dtypes[static_cast<size_t>(input.below(7))];
  auto tensor = torch::full(size, input.byte(), torch::kDouble);
  switch (input.below(6)) {
    case 0:
      tensor = tensor / 0;  // inf, or NaN
      break;
    case 1:
      tensor = torch::zeros({1}).expand(size);
      break;
    case 2:
      tensor = tensor.to_sparse();
      break;
    case 3:
      return torch::empty(
          size, torch::TensorOptions(dtype).device(torch::kMeta));
    default:
      break;
  }
  return tensor.to(dtype);
}

/// One item; what LibTorch does not write is left out.
void write_item(OutputArchive& archive, Input& input, int depth);

void write_items(OutputArchive& archive, Input& input, int depth) {
  for (auto count = input.below(8); count > 0; --count) {
    try {
      write_item(archive, input, depth);
    } catch (const std::exception&) {
    }
  }
}

void write_item(OutputArchive& archive, Input& input, int depth) {
  const std::vector<std::string> names = {
      "weight", "bias", "count", "tied", "child", "scale", "weight_", "0"};
  const auto& name = names[static_cast<size_t>(input.below(8))];
  switch (input.below(4)) {
    case 0:
      if (depth < 3) {
        OutputArchive nested(archive.compilation_unit());
        write_items(nested, input, depth + 1);
        archive.write(name, nested);
      }
      break;
    case 1:
      archive.write(name, c10::IValue(input.text()));
      break;
    default:
      archive.write(name, any_tensor(input), input.below(2) == 1);
  }
}

/// The module's own items, but for some.
void write_module(
    OutputArchive& archive, const torch::nn::Module& module, Input& input) {
  const auto change = [&](const torch::Tensor& tensor) {
    return input.below(8) == 1 ? any_tensor(input) : tensor;
  };
  for (const auto& item : module.named_parameters(/*recurse=*/false)) {
    if (input.below(8) != 2) {
      archive.write(item.key(), change(item.value()));
    }
  }
  for (const auto& item : module.named_buffers(/*recurse=*/false)) {
    archive.write(item.key(), change(item.value()), /*is_buffer=*/true);
  }
  for (const auto& item : module.named_children()) {
    OutputArchive nested(archive.compilation_unit());
    write_module(nested, *item.value(), input);
    archive.write(item.key(), nested);
  }
}

}  // namespace

void checkpoint(Bytes bytes) {
  Input input(bytes);
  const auto kind = input.byte();
  InputArchive archive;
  try {
    OutputArchive out;
    if ((kind & 1U) != 0) {
      write_items(out, input, 0);
    } else {
      write_module(out, *small_module(kind & 2U), input);
    }
    std::stringstream stream;
    out.save_to(stream);
    archive.load_from(stream);
  } catch (const std::exception&) {
    return;  // LibTorch writes and reads no such archive
  }
  check_load(archive, kind);
}

}  // namespace gatedpaths::fuzz
