// SPDX-License-Identifier: MIT
// The folder of a run.
#pragma once

#include <filesystem>

namespace nas_bench_macro {

/// The supernet in it.
std::filesystem::path supernet_file(const std::filesystem::path& folder);

/// Makes it, where it is not there.
///
/// Throws: `c10::Error`, with the reason, where that cannot be.
void make_run_folder(const std::filesystem::path& folder);

/// Makes room for a new run: what stages of another one have left would be
/// taken for this one's. Files that no stage writes stay.
///
/// Throws: `c10::ValueError` where there are such files, unless `overwrite`
/// says to remove them.
void clear_run_folder(const std::filesystem::path& folder, bool overwrite);

}  // namespace nas_bench_macro
