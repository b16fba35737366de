// SPDX-License-Identifier: MIT
#include "safetensors_header.hpp"

#include <c10/util/Exception.h>
#include <torch/version.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>

namespace gatedpaths::detail {
namespace {

using nlohmann::json;

constexpr const char* kMetadataName = "__metadata__";

struct SafetensorsDtype {
  std::string_view name;
  c10::ScalarType dtype;
};

constexpr auto kSafetensorsDtypes = std::to_array<SafetensorsDtype>({
    {"BOOL", c10::ScalarType::Bool},
    {"U8", c10::ScalarType::Byte},
    {"I8", c10::ScalarType::Char},
    {"F8_E5M2", c10::ScalarType::Float8_e5m2},
    {"F8_E4M3", c10::ScalarType::Float8_e4m3fn},
    {"F8_E5M2FNUZ", c10::ScalarType::Float8_e5m2fnuz},
    {"F8_E4M3FNUZ", c10::ScalarType::Float8_e4m3fnuz},
#if TORCH_VERSION_MAJOR > 2 || TORCH_VERSION_MINOR >= 7
    {"F8_E8M0", c10::ScalarType::Float8_e8m0fnu},
#endif
    {"I16", c10::ScalarType::Short},
    {"U16", c10::ScalarType::UInt16},
    {"F16", c10::ScalarType::Half},
    {"BF16", c10::ScalarType::BFloat16},
    {"I32", c10::ScalarType::Int},
    {"U32", c10::ScalarType::UInt32},
    {"F32", c10::ScalarType::Float},
    {"C64", c10::ScalarType::ComplexFloat},
    {"F64", c10::ScalarType::Double},
    {"I64", c10::ScalarType::Long},
    {"U64", c10::ScalarType::UInt64},
});

// Reads a header as it is parsed: nothing that is not wanted is kept, however
// large or deep, and a name that comes twice is seen.
class HeaderReader {
 public:
  using number_integer_t = json::number_integer_t;
  using number_unsigned_t = json::number_unsigned_t;
  using number_float_t = json::number_float_t;
  using string_t = json::string_t;
  using binary_t = json::binary_t;

  explicit HeaderReader(const std::string& label) : label_(label) {}

  SafetensorsHeader take_header() { return std::move(header_); }

  bool null() {
    // As the format's own reader takes it: no metadata.
    if (place_ == Place::kTop && key_ == kMetadataName) {
      return true;
    }
    return scalar("null");
  }
  bool boolean(bool value) { return scalar(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) {
    return scalar(fmt::format("{}", value));
  }
  bool number_unsigned(number_unsigned_t value) {
    if (place_ == Place::kShape) {
      shape_->push_back(value);
      return true;
    }
    if (place_ == Place::kOffsets) {
      offsets_->push_back(value);
      return true;
    }
    return scalar(fmt::format("{}", value));
  }
  bool number_float(number_float_t, const string_t& text) {
    return scalar(text);
  }
  bool string(string_t& value) {
    if (place_ == Place::kMetadata) {
      header_.metadata[key_] = std::move(value);
      return true;
    }
    if (place_ == Place::kEntry && key_ == "dtype") {
      dtype_ = std::move(value);
      return true;
    }
    return scalar(fmt::format("'{}'", value));
  }
  bool binary(binary_t&) { return scalar("binary data"); }

  bool start_object(size_t) {
    if (place_ == Place::kStart) {
      place_ = Place::kTop;
      return true;
    }
    if (place_ == Place::kTop) {
      name_ = key_;
      keys_.clear();
      place_ = name_ == kMetadataName ? Place::kMetadata : Place::kEntry;
      dtype_.reset();
      shape_.reset();
      offsets_.reset();
      return true;
    }
    return start("an object");
  }
  bool end_object() {
    if (place_ == Place::kUnknown) {
      return end();
    }
    if (place_ == Place::kEntry) {
      add_entry();
    }
    place_ = place_ == Place::kTop ? Place::kStart : Place::kTop;
    return true;
  }
  bool start_array(size_t) {
    if (place_ == Place::kEntry && key_ == "shape") {
      place_ = Place::kShape;
      shape_.emplace();
      return true;
    }
    if (place_ == Place::kEntry && key_ == "data_offsets") {
      place_ = Place::kOffsets;
      offsets_.emplace();
      return true;
    }
    return start("an array");
  }
  bool end_array() {
    if (place_ == Place::kUnknown) {
      return end();
    }
    place_ = Place::kEntry;
    return true;
  }
  bool key(string_t& value) {
    if (place_ == Place::kUnknown) {
      return true;
    }
    auto& seen = place_ == Place::kTop ? names_ : keys_;
    TORCH_CHECK_VALUE(
        seen.insert(value).second,
        label_,
        ": expected different names in ",
        where(),
        ", got '",
        value,
        "' twice");
    key_ = std::move(value);
    return true;
  }
  bool parse_error(
      size_t, const std::string&, const json::exception& exception) {
    TORCH_CHECK_VALUE(
        false,
        label_,
        ": expected a header in JSON, got one of which the parser says: ",
        exception.what());
  }

 private:
  enum class Place {
    kStart,
    kTop,
    kMetadata,
    kEntry,
    kShape,
    kOffsets,
    kUnknown,  // in the value of a key that the format does not know
  };

  std::string where() const {
    switch (place_) {
      case Place::kMetadata:
        return kMetadataName;
      case Place::kEntry:
        return fmt::format("entry '{}'", name_);
      case Place::kShape:
      case Place::kOffsets:
        return fmt::format("'{}' of entry '{}'", key_, name_);
      default:
        return "the header";
    }
  }

  bool is_ignored() const {
    return place_ == Place::kEntry && key_ != "dtype" && key_ != "shape" &&
           key_ != "data_offsets";
  }

  bool start(std::string_view kind) {
    if (is_ignored()) {
      place_ = Place::kUnknown;
    }
    if (place_ == Place::kUnknown) {
      ++depth_;
      return true;
    }
    return fail(kind);
  }

  bool end() {
    if (--depth_ == 0) {
      place_ = Place::kEntry;
    }
    return true;
  }

  bool scalar(std::string_view text) {
    return place_ == Place::kUnknown || is_ignored() || fail(text);
  }

  bool fail(std::string_view got) const {
    const char* expected = "an object";
    switch (place_) {
      case Place::kMetadata:
        expected = "a text";
        break;
      case Place::kEntry:
        expected = key_ == "dtype" ? "a text" : "an array";
        break;
      case Place::kShape:
      case Place::kOffsets:
        expected = "numbers from 0 to 2^64";
        break;
      default:
        break;
    }
    const bool is_list = place_ == Place::kShape || place_ == Place::kOffsets;
    TORCH_CHECK_VALUE(
        false,
        label_,
        ": expected ",
        expected,
        place_ == Place::kStart ? " as the header"
        : is_list               ? fmt::format(" in {}", where())
                                : fmt::format(" for '{}' in {}", key_, where()),
        ", got ",
        got);
  }

  void add_entry();

  const std::string& label_;
  SafetensorsHeader header_;
  Place place_ = Place::kStart;
  int64_t depth_ = 0;  // in an unknown value
  std::string name_;
  std::string key_;
  std::unordered_set<std::string> names_;
  std::unordered_set<std::string> keys_;
  std::optional<std::string> dtype_;
  std::optional<std::vector<uint64_t>> shape_;
  std::optional<std::vector<uint64_t>> offsets_;
};

void HeaderReader::add_entry() {
  const auto entry_label = [&] {
    return fmt::format("{}: entry '{}'", label_, name_);
  };
  TORCH_CHECK_VALUE(
      dtype_ && shape_ && offsets_,
      entry_label(),
      ": expected dtype, shape and data_offsets, got none called ",
      !dtype_   ? "dtype"
      : !shape_ ? "shape"
                : "data_offsets");
  const auto* const known = std::find_if(
      kSafetensorsDtypes.begin(),
      kSafetensorsDtypes.end(),
      [&](const auto& dtype) { return dtype.name == *dtype_; });
  TORCH_CHECK_VALUE(
      known != kSafetensorsDtypes.end(),
      entry_label(),
      ": expected a dtype that LibTorch has, got '",
      *dtype_,
      "'");
  TORCH_CHECK_VALUE(
      offsets_->size() == 2 && (*offsets_)[0] <= (*offsets_)[1],
      entry_label(),
      ": expected data_offsets of a begin and an end, got ",
      fmt::format("[{}]", fmt::join(*offsets_, ", ")));
  SafetensorsEntry entry{
      .name = name_,
      .dtype = known->dtype,
      .sizes = {},
      .begin = (*offsets_)[0],
      .end = (*offsets_)[1]};
  // Strides are made of the sizes, those of 0 as if they were 1.
  uint64_t bytes = c10::elementSize(entry.dtype);
  uint64_t extent = bytes;
  bool overflows = false;
  for (const uint64_t size : *shape_) {
    overflows =
        overflows || __builtin_mul_overflow(bytes, size, &bytes) ||
        __builtin_mul_overflow(extent, std::max<uint64_t>(size, 1), &extent) ||
        extent > std::numeric_limits<int64_t>::max();
    entry.sizes.push_back(static_cast<int64_t>(size));
  }
  TORCH_CHECK_VALUE(
      !overflows,
      entry_label(),
      ": expected sizes that a tensor can have, got ",
      fmt::format("[{}]", fmt::join(*shape_, ", ")));
  TORCH_CHECK_VALUE(
      bytes == entry.end - entry.begin,
      entry_label(),
      ": expected ",
      bytes,
      " bytes for ",
      *dtype_,
      " of ",
      fmt::format("[{}]", fmt::join(*shape_, ", ")),
      ", got data_offsets of ",
      entry.end - entry.begin);
  header_.entries.push_back(std::move(entry));
}

// One after the other, from the first byte to the last.
void check_data(
    const std::string& label,
    const std::vector<SafetensorsEntry>& entries,
    uint64_t data_size) {
  uint64_t end = 0;
  for (const auto& entry : entries) {
    TORCH_CHECK_VALUE(
        entry.begin == end,
        label,
        ": expected the data of entry '",
        entry.name,
        "' to begin at byte ",
        end,
        ", where that before it ends, got ",
        entry.begin,
        entry.begin < end ? ": they overlap" : ": there is a hole");
    end = entry.end;
  }
  TORCH_CHECK_VALUE(
      end == data_size,
      label,
      ": expected ",
      end,
      " bytes of data, as its header says, got ",
      data_size);
}

}  // namespace

SafetensorsHeader parse_safetensors_header(
    const std::string& label, std::string_view text, uint64_t data_size) {
  TORCH_CHECK_VALUE(
      !text.empty() && text.front() == '{',
      label,
      ": expected a header that starts with '{', got ",
      text.empty()
          ? std::string("an empty one")
          : fmt::format("byte {:#04x}", static_cast<uint8_t>(text[0])));
  // Which the parser would take for the end.
  const auto null = text.find('\0');
  TORCH_CHECK_VALUE(
      null == std::string_view::npos,
      label,
      ": expected a header in JSON, got a byte of 0 at ",
      null);
  HeaderReader reader(label);
  json::sax_parse(text.begin(), text.end(), &reader);
  auto header = reader.take_header();
  std::stable_sort(
      header.entries.begin(),
      header.entries.end(),
      [](const auto& a, const auto& b) {
        return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
      });
  check_data(label, header.entries, data_size);
  return header;
}

std::string safetensors_header_bytes(
    std::string_view function, const SafetensorsHeader& header) {
  std::string text = "{";
  const auto add_key = [&](const std::string& key) {
    text += text.back() == '{' ? "" : ",";
    text += json_text(function, key);
    text += ":";
  };
  if (!header.metadata.empty()) {
    add_key(kMetadataName);
    text += "{";
    for (const auto& [key, value] : header.metadata) {
      add_key(key);
      text += json_text(function, value);
    }
    text += "}";
  }
  for (const auto& entry : header.entries) {
    add_key(entry.name);
    text += fmt::format(
        R"({{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
        safetensors_dtype(entry.dtype),
        fmt::join(entry.sizes, ","),
        entry.begin,
        entry.end);
  }
  text += "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  TORCH_CHECK_VALUE(
      text.size() <= kMostSafetensorsHeader,
      function,
      ": expected a header of at most ",
      kMostSafetensorsHeader,
      " bytes, got one of ",
      text.size(),
      " for ",
      header.entries.size(),
      " tensors");
  const uint64_t size = text.size();
  std::string bytes;
  for (int i = 0; i < 8; ++i) {
    bytes.push_back(static_cast<char>(size >> (8 * i) & 0xFFU));
  }
  return bytes + text;
}

std::string_view safetensors_dtype(c10::ScalarType dtype) {
  const auto* const known = std::find_if(
      kSafetensorsDtypes.begin(),
      kSafetensorsDtypes.end(),
      [&](const auto& item) { return item.dtype == dtype; });
  return known == kSafetensorsDtypes.end() ? std::string_view() : known->name;
}

std::string json_text(std::string_view function, const std::string& text) {
  std::string result;
  std::string reason;
  try {
    result = json(text).dump();
  } catch (const json::exception& exception) {
    reason = exception.what();
  }
  TORCH_CHECK_VALUE(
      reason.empty(),
      function,
      ": expected names and texts in UTF-8, got one of which the writer says: ",
      reason);
  return result;
}

}  // namespace gatedpaths::detail
