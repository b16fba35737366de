// SPDX-License-Identifier: MIT
#include "checkpoint_file.hpp"

#include "checksum.hpp"

#include <gatedpaths/exchange/checkpoint.hpp>

#include <c10/util/Exception.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <exception>
#include <sstream>
#include <vector>

namespace cifar10 {
namespace {

namespace fs = std::filesystem;

using torch::serialize::InputArchive;
using torch::serialize::OutputArchive;

constexpr auto kWhole = "a whole checkpoint of this program";

InputArchive open_archive(const fs::path& file) {
  TORCH_CHECK_VALUE(
      fs::is_regular_file(file),
      in_quotes(file),
      ": expected ",
      kWhole,
      ", got no such file");
  InputArchive archive;
  try {
    archive.load_from(file.string(), torch::kCPU);  // also one of a GPU
  } catch (const std::exception& error) {
    const std::string reason = error.what();
    TORCH_CHECK_VALUE(
        false,
        in_quotes(file),
        ": expected ",
        kWhole,
        ", got ",
        fs::file_size(file),
        " bytes that cannot be read (",
        reason.substr(0, reason.find('\n')),
        ")");
  }
  return archive;
}

void check_content(const fs::path& file, InputArchive& archive) {
  const auto saved = read_text(archive, "checksum");
  TORCH_CHECK_VALUE(
      !saved.empty(),
      in_quotes(file),
      ": expected a checksum of its content, got none (a development version "
      "of this program wrote it)");
  const auto found = checksum(content_of(archive));
  TORCH_CHECK_VALUE(
      found == saved,
      in_quotes(file),
      ": expected content with the checksum ",
      saved,
      ", got ",
      found,
      " (the file has changed since it was saved)");
}

template <class Settings>
std::string setting_text(const Settings& settings, const std::string& name) {
  const auto found = settings.find(name);
  return found == settings.end() || found->is_null() ? "none"
         : found->is_primitive()                     ? found->dump()
                                                     : found->type_name();
}

}  // namespace

std::string in_quotes(const fs::path& file) {
  return fmt::format("checkpoint '{}'", file.string());
}

std::string read_text(InputArchive& archive, const char* key) {
  c10::IValue value;
  return archive.try_read(key, value) && value.isString() ? value.toStringRef()
                                                          : std::string();
}

void save_checked(const fs::path& file, OutputArchive& archive) {
  std::stringstream bytes;
  archive.save_to(bytes);
  InputArchive written;
  written.load_from(bytes);
  archive.write("checksum", c10::IValue(checksum(content_of(written))));
  gatedpaths::save_atomically(file, archive);
}

InputArchive open_checked(const fs::path& file, std::string_view wanted) {
  auto archive = open_archive(file);
  const auto format = read_text(archive, "format");
  TORCH_CHECK_VALUE(
      format == wanted,
      in_quotes(file),
      ": expected the format '",
      wanted,
      "', got '",
      format,
      "'");
  check_content(file, archive);
  return archive;
}

ReadJson read_settings(const fs::path& file, InputArchive& archive) {
  const auto text = read_text(archive, "settings");
  auto saved = ReadJson::parse(text, nullptr, /*allow_exceptions=*/false);
  TORCH_CHECK_VALUE(
      saved.is_object(),
      in_quotes(file),
      ": expected the settings of a run, got '",
      text,
      "'");
  return saved;
}

void check_settings(
    const std::string& wrong, const ReadJson& saved, const Json& wanted) {
  std::vector<std::string> differences;
  const auto compare = [&](const std::string& name) {
    const auto value = setting_text(wanted, name);
    const auto other = setting_text(saved, name);
    if (other != value) {
      differences.push_back(
          fmt::format("expected {} {}, got {}", name, value, other));
    }
  };
  for (const auto& item : wanted.items()) {
    compare(item.key());
  }
  for (const auto& item : saved.items()) {
    if (!wanted.contains(item.key())) {
      compare(item.key());
    }
  }
  TORCH_CHECK_VALUE(
      differences.empty(),
      wrong,
      ": ",
      fmt::format("{}", fmt::join(differences, "; ")));
}

}  // namespace cifar10
