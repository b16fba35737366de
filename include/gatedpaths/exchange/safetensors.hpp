// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/exchange/dense_state.hpp>
#include <gatedpaths/export.hpp>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace gatedpaths {

/// What a file says of itself beside its tensors: texts by name.
using SafetensorsMetadata = std::map<std::string, std::string>;

/// Writes tensors to a safetensors file, which Python's `safetensors` package
/// and much else reads, and which cannot run code when it is read.
///
/// The file is written as `save_atomically` does, so that a crash leaves the
/// old one or the new one, and its bytes depend on nothing but names, values
/// and metadata. Tensors may be on any device, and of any strides. Two that
/// share memory are both written. `requires_grad` is not a part of such a file.
///
/// Dtypes: all that the format shares with LibTorch: Bool, Byte (`U8`), Char
/// (`I8`), Short, Int, Long, `UInt16`, `UInt32`, `UInt64`, Half, BFloat16,
/// Float, Double, ComplexFloat (`C64`), and those of 8 bits (`F8_E4M3`,
/// `F8_E5M2`, both also as `FNUZ`, and from LibTorch 2.7 on `F8_E8M0`).
///
/// With `slots_to_dense(net)` the names and tensors are those of PyTorch's
/// `state_dict()` of the dense network.
///
/// Throws: `c10::ValueError`, with the name, for a tensor that is undefined,
/// not strided, quantized, of the meta device or of another dtype, a tensor
/// called
/// `__metadata__`, names or texts that are not UTF-8, and more than 100 MB of
/// names; else as `save_atomically`. The old file is then as it was.
///
/// Example:
/// ```
/// gatedpaths::save_safetensors(
///     "net.safetensors", gatedpaths::slots_to_dense(net), {{"format", "pt"}});
/// ```
GATEDPATHS_EXPORT void save_safetensors(
    const std::filesystem::path& path,
    const StateDict& tensors,
    const SafetensorsMetadata& metadata = {});

/// Writes tensors to several safetensors files, each of at most
/// `most_shard_bytes` of tensors (or one larger tensor), and an index of them:
/// `model.safetensors.index.json` beside `model-00001-of-00003.safetensors` and
/// so on, as Hugging Face's tools write and read them.
///
/// `index` names the index, and has to end with `.safetensors.index.json`.
/// Tensors are distributed in their order. An old index goes first: a crash
/// meanwhile leaves none, rather than an old one beside new files. Shards of an
/// old checkpoint with another number of them stay.
///
/// Throws: as `save_safetensors`; `c10::ValueError` also for another name of
/// the index, or `most_shard_bytes` below 1.
GATEDPATHS_EXPORT void save_sharded_safetensors(
    const std::filesystem::path& index,
    const StateDict& tensors,
    int64_t most_shard_bytes,
    const SafetensorsMetadata& metadata = {});

/// The tensors of a safetensors file, or of all files that an index names (a
/// `path` that ends with `.json`): in the order of their data, on `device`,
/// with memory of their own. The bytes go from the file straight into it.
///
/// `slots_from_dense(net, load_safetensors(path))` loads them into a network,
/// checked; a checkpoint of PyTorch's in Python has the names that the dense
/// network has here.
///
/// Throws: `c10::ValueError`, with the path, for what the format does not
/// allow, before any tensor is made: a file that is no regular one, is shorter
/// than it says, or has a header of more than 100 MB, one that does not start
/// with `{`, or is not JSON of the right form in UTF-8; entries of one name
/// twice, of unknown dtype, of sizes that overflow or are not what the offsets
/// say; data that overlaps, has holes, is out of range, or is not all of the
/// file; for dtypes that LibTorch does not have, and those of less than a byte;
/// for an index that is not of the right form, names a file outside of its
/// folder, or does not agree with the files on what is where. `c10::Error`,
/// with the system's reason, where a file cannot be read. Python's package
/// refuses the same, but for blanks in front, most names that come twice,
/// entries that are arrays, dtypes that are objects, and `F4`.
///
/// Example:
/// ```
/// gatedpaths::slots_from_dense(
///     net, gatedpaths::load_safetensors("resnet18.safetensors"));
/// ```
GATEDPATHS_EXPORT StateDict load_safetensors(
    const std::filesystem::path& path,
    const torch::Device& device = torch::kCPU);

/// The metadata of a safetensors file, or, of an index, its own: numbers and
/// other values there as JSON. Empty where there is none.
///
/// Throws: as `load_safetensors`.
GATEDPATHS_EXPORT SafetensorsMetadata
safetensors_metadata(const std::filesystem::path& path);

}  // namespace gatedpaths
