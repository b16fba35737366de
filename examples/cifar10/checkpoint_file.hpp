// SPDX-License-Identifier: MIT
// What checkpoints of any run have in common: a format, the settings of the
// run, and a checksum of all that is in the file.
#pragma once

#include "json.hpp"

#include <torch/serialize/archive.h>

#include <filesystem>
#include <string>
#include <string_view>

namespace cifar10 {

/// The file's name, for messages.
std::string in_quotes(const std::filesystem::path& file);

/// A text in an archive; an empty one where there is none.
std::string read_text(torch::serialize::InputArchive& archive, const char* key);

/// Writes the archive, with a checksum of what is in it; the old file stays
/// until the new one is whole.
void save_checked(
    const std::filesystem::path& file,
    torch::serialize::OutputArchive& archive);

/// An archive that is as it was saved. Throws where it is not whole, has
/// another "format" than `wanted`, or another checksum than it had.
torch::serialize::InputArchive open_checked(
    const std::filesystem::path& file, std::string_view wanted);

/// Its "settings".
ReadJson read_settings(
    const std::filesystem::path& file, torch::serialize::InputArchive& archive);

/// Throws where a name has another value, or stands in one of the two alone.
/// `wrong` is the start of the message.
void check_settings(
    const std::string& wrong, const ReadJson& saved, const Json& wanted);

}  // namespace cifar10
