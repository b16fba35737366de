// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/branches/network_ref.hpp>
#include <gatedpaths/export.hpp>

#include <torch/nn/module.h>
#include <torch/serialize/archive.h>

#include <cstddef>
#include <filesystem>
#include <functional>

namespace gatedpaths {

/// Takes the next `size` bytes of a file and returns `size`.
/// It has the signature that `torch::serialize::OutputArchive::save_to` takes.
using ByteSink = std::function<std::size_t(const void* data, std::size_t size)>;

/// Writes a file so that a crash at any moment, power loss included, leaves
/// either the old file or the new one, whole.
///
/// `write` gets a sink and puts the file's bytes into it. They go to a
/// temporary file in the same folder, which is flushed to the disk and renamed
/// to `path`, and the folder is flushed too. The new file keeps the old one's
/// permissions; symbolic links are followed, also to a file that is not there
/// yet. For POSIX systems.
///
/// The sink throws nothing, so that `write` may hand it to
/// `OutputArchive::save_to`: after a failure it takes the bytes, drops them,
/// and the error comes when `write` has returned.
///
/// The temporary file is called `.gatedpaths-<number>-<process>-<count>`. One
/// that a killed process has left goes when the same file is saved next.
///
/// Throws: `c10::Error`, with the path and the system's reason, where a step
/// fails; `c10::ValueError` where `path` names something other than a regular
/// file; what `write` throws. The old file is then as it was, and the temporary
/// file is gone. (Where the last flush, that of the folder, fails on a file
/// system without hard links, the new file is there instead, whole.)
///
/// Example:
/// ```
/// gatedpaths::save_atomically(
///     "notes.txt", [](const gatedpaths::ByteSink& sink) { sink("42\n", 3); });
/// ```
GATEDPATHS_EXPORT void save_atomically(
    const std::filesystem::path& path,
    const std::function<void(const ByteSink& sink)>& write);

/// Writes an archive to a file in the same way.
///
/// Throws: `c10::Error`, with the path and the system's reason, where a step
/// fails; `c10::ValueError` where `path` names something other than a regular
/// file. The old file is then as it was.
///
/// Example:
/// ```
/// torch::serialize::OutputArchive archive;
/// net->save(archive);
/// gatedpaths::save_atomically("net.pt", archive);
/// ```
GATEDPATHS_EXPORT void save_atomically(
    const std::filesystem::path& path,
    torch::serialize::OutputArchive& archive);

/// Writes an archive into a sink of yours, which may throw: the first exception
/// comes out when the archive is written, and the sink is not called again.
/// (`OutputArchive::save_to` calls its sink from a destructor while an
/// exception is on its way, which ends the process.)
///
/// Throws: what `sink` throws.
///
/// Example:
/// ```
/// std::string bytes;
/// gatedpaths::save_to(
///     [&](const void* data, std::size_t size) {
///       bytes.append(static_cast<const char*>(data), size);
///       return size;
///     },
///     archive);
/// ```
GATEDPATHS_EXPORT void save_to(
    const ByteSink& sink, torch::serialize::OutputArchive& archive);

/// Loads a module's parameters and buffers from an archive that
/// `torch::nn::Module::save` (or `torch::save`) made of a module of the same
/// shape, and checks it first: every parameter and buffer must be there, with
/// the same sizes and dtype, and nothing else may be. (`torch::load` checks
/// neither sizes nor dtypes.)
///
/// The values are copied into the module's own tensors: these keep their
/// storage, device and `requires_grad`, and an optimizer that holds them stays
/// valid. The archive may be on another device, and may be loaded into several
/// modules; one of a GPU is read where there is none by
/// `archive.load_from("net.pt", torch::kCPU)`. A module that has one tensor
/// under two names takes the values of an archive that has equal ones there,
/// and only such. Modules that override `save` or `load` are not served by
/// this, but for `StochasticDepth`, whose mode, scale and rate are a buffer:
/// they are in effect when that is loaded.
///
/// Throws: `c10::ValueError` that lists every difference, e.g. `load_checked:
/// parameter 'fc1.weight': expected [120, 800] Float, got [120, 400] Float;
/// missing 'fc3.bias'`, tensors of the module that cannot be written (expanded
/// ones, inference tensors) among them. Nothing in the module has changed then.
///
/// Example:
/// ```
/// torch::serialize::InputArchive archive;
/// archive.load_from("net.pt");
/// gatedpaths::load_checked(net, archive);
/// ```
GATEDPATHS_EXPORT void load_checked(
    torch::nn::Module& module, torch::serialize::InputArchive& archive);
/// \overload
template <detail::NetworkHandle Net>
void load_checked(const Net& net, torch::serialize::InputArchive& archive) {
  load_checked(NetworkRef(net).module("load_checked"), archive);
}

}  // namespace gatedpaths
