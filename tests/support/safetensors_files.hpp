// SPDX-License-Identifier: MIT
// Safetensors files that are malformed, and such that are merely odd.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gatedpaths::test {

struct SafetensorsCase {
  std::string name;
  std::string bytes;
  std::string message = {};  // a part of it, where the file is refused
};

/// A length as such a file begins with it.
inline std::string length_bytes(uint64_t size) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) {
    bytes.push_back(static_cast<char>(size >> (8 * i) & 0xFFU));
  }
  return bytes;
}

inline std::string safetensors_bytes(
    std::string_view header, std::string_view data = {}) {
  return length_bytes(header.size()) + std::string(header) + std::string(data);
}

namespace safetensors_detail {

inline const std::string kData8(8, '\0');

/// One tensor `t`, and 8 bytes of data.
inline std::string one(const std::string& entry, std::string_view data) {
  return safetensors_bytes(R"({"t":{)" + entry + "}}", data);
}
inline std::string one(const std::string& entry) { return one(entry, kData8); }

/// One of F32.
inline std::string f32(const std::string& rest, std::string_view data) {
  return one(R"("dtype":"F32",)" + rest, data);
}
inline std::string f32(const std::string& rest) { return f32(rest, kData8); }

/// Of F32, with this shape.
inline std::string shaped(const std::string& shape) {
  return f32(R"("shape":)" + shape + R"(,"data_offsets":[0,8])");
}

/// Of F32 and shape [2], with these offsets.
inline std::string placed(const std::string& offsets) {
  return f32(R"("shape":[2],"data_offsets":)" + offsets);
}

/// Two of U8 in 8 bytes.
inline std::string two(const std::string& a, const std::string& b) {
  return safetensors_bytes(
      R"({"a":{"dtype":"U8",)" + a + R"(},"b":{"dtype":"U8",)" + b + "}}",
      kData8);
}

/// A whole entry that is as it should be, in 8 bytes.
inline constexpr const char* kGoodEntry =
    R"({"dtype":"U8","shape":[8],"data_offsets":[0,8]})";

inline std::string with_unknown(const std::string& value) {
  return f32(R"("x":)" + value + R"(,"shape":[2],"data_offsets":[0,8])");
}

inline std::vector<SafetensorsCase> bad_lengths() {
  return {
      {"no byte",
       "",
       "expected the 8 bytes of the header's length, got a file of 0"},
      {"one byte",
       "{",
       "expected the 8 bytes of the header's length, got a file of 1"},
      {"an absurd length",
       "<\1\1\1\1\1\1\1",
       "expected a header of at most 100000000 bytes, got one of"},
      {"a length of nearly 2^64",
       std::string("<\0\0\0\0\xff\xff\xff", 8) + "{}",
       "expected a header of at most 100000000 bytes, got one of"},
      {"a length of 2^64 - 1",
       std::string(8, '\xff') + "{}",
       "expected a header of at most 100000000 bytes, got one of "
       "18446744073709551615"},
      {"a length above the limit",
       length_bytes(100'000'001) + "{}",
       "expected a header of at most 100000000 bytes, got one of 100000001"},
      {"a length without a header",
       length_bytes(60),
       "expected a header of 60 bytes, as it says, got 0 to the end"},
      {"a length beyond the file",
       length_bytes(60) + "<",
       "expected a header of 60 bytes, as it says, got 1 to the end"},
      {"a length at the limit, beyond the file",
       length_bytes(100'000'000) + "{}",
       "expected a header of 100000000 bytes, as it says, got 2"}};
}

inline std::vector<SafetensorsCase> bad_json() {
  const std::string parser =
      "expected a header in JSON, got one of which the parser says:";
  const std::string start = "expected a header that starts with '{', got ";
  return {
      {"an empty header", length_bytes(0), start + "an empty one"},
      {"no text", safetensors_bytes("\xff"), start + "byte 0xff"},
      {"a blank first", safetensors_bytes(" {}"), start + "byte 0x20"},
      {"a tab first", safetensors_bytes("\t\n{}"), start + "byte 0x09"},
      {"a line's end first", safetensors_bytes("\n{}"), start + "byte 0x0a"},
      {"a carriage return first",
       safetensors_bytes("\r{}"),
       start + "byte 0x0d"},
      {"a mark of UTF-8 first",
       safetensors_bytes("\xef\xbb\xbf{}"),
       start + "byte 0xef"},
      {"an array", safetensors_bytes("[]"), start + "byte 0x5b"},
      {"an open brace", safetensors_bytes("{"), parser},
      {"two objects", safetensors_bytes("{} {}"), parser},
      {"a comment", safetensors_bytes("{}/**/"), parser},
      {"a comma at the end",
       safetensors_bytes(R"({"__metadata__":{},})"),
       parser},
      {"quotes that JSON has not", safetensors_bytes("{'t':{}}"), parser},
      {"a name of no UTF-8", safetensors_bytes("{\"\xff\":1}"), parser},
      {"an overlong name", safetensors_bytes("{\"\xc0\xaf\":1}"), parser},
      {"half a pair in UTF-8",
       safetensors_bytes("{\"\xed\xa0\x80\":1}"),
       parser},
      {"half a pair, escaped",
       safetensors_bytes(R"({"__metadata__":{"a":"\ud800"}})"),
       parser},
      {"a control character in a name",
       safetensors_bytes("{\"a\tb\":" + std::string(kGoodEntry) + "}", kData8),
       parser},
      {"a zero behind it",
       safetensors_bytes(std::string_view("{}\0", 3)),
       "expected a header in JSON, got a byte of 0 at 2"},
      {"NaN", shaped("[NaN]"), parser},
      {"a number that is too large", shaped("[1e999]"), parser},
      {"such a number under an unknown key", with_unknown("1e999"), parser},
      {"NaN under an unknown key", with_unknown("NaN"), parser},
      {"a number that begins with 0", shaped("[02]"), parser}};
}

inline std::vector<SafetensorsCase> bad_entries() {
  const std::string in_shape =
      "expected numbers from 0 to 2^64 in 'shape' of entry 't', got ";
  return {
      {"a fraction as a size", shaped("[2.0]"), in_shape + "2.0"},
      {"an exponent in a size", shaped("[2e0]"), in_shape + "2e0"},
      {"a negative size", shaped("[-2]"), in_shape + "-2"},
      {"a size of -0", shaped("[-0]"), in_shape + "0"},
      {"a size of 2^64",
       shaped("[18446744073709551616]"),
       in_shape + "18446744073709551616"},
      {"a text as a size", shaped(R"(["2"])"), in_shape + "'2'"},
      {"sizes in sizes", shaped("[[2]]"), in_shape + "an array"},
      {"a number as the shape",
       shaped("2"),
       "expected an array for 'shape' in entry 't', got 2"},
      {"null as the shape",
       shaped("null"),
       "expected an array for 'shape' in entry 't', got null"},
      {"a number as an entry",
       safetensors_bytes(R"({"t":3})"),
       "expected an object for 't' in the header, got 3"},
      {"null as an entry",
       safetensors_bytes(R"({"t":null})"),
       "expected an object for 't' in the header, got null"},
      {"an array as an entry",
       safetensors_bytes(R"({"t":["F32",[2],[0,8]]})", kData8),
       "expected an object for 't' in the header, got an array"},
      {"a number as the dtype",
       one(R"("dtype":4,"shape":[2],"data_offsets":[0,8])"),
       "expected a text for 'dtype' in entry 't', got 4"},
      {"an object as the dtype",
       one(R"("dtype":{"F32":null},"shape":[2],"data_offsets":[0,8])"),
       "expected a text for 'dtype' in entry 't', got an object"},
      {"no dtype",
       one(R"("shape":[2],"data_offsets":[0,8])"),
       "entry 't': expected dtype, shape and data_offsets, got none called "
       "dtype"},
      {"no shape",
       f32(R"("data_offsets":[0,8])"),
       "entry 't': expected dtype, shape and data_offsets, got none called "
       "shape"},
      {"no offsets",
       f32(R"("shape":[2])"),
       "entry 't': expected dtype, shape and data_offsets, got none called "
       "data_offsets"},
      {"an unknown dtype",
       one(R"("dtype":"F99","shape":[2],"data_offsets":[0,8])"),
       "entry 't': expected a dtype that LibTorch has, got 'F99'"},
      {"a dtype in small letters",
       one(R"("dtype":"f32","shape":[2],"data_offsets":[0,8])"),
       "entry 't': expected a dtype that LibTorch has, got 'f32'"},
      {"a dtype of 4 bits",
       one(R"("dtype":"F4","shape":[16],"data_offsets":[0,8])"),
       "entry 't': expected a dtype that LibTorch has, got 'F4'"},
      {"half a byte",
       one(R"("dtype":"F4","shape":[15],"data_offsets":[0,8])"),
       "entry 't': expected a dtype that LibTorch has, got 'F4'"},
      {"a dtype of 6 bits",
       one(R"("dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3])",
           std::string_view("\0\0\0", 3)),
       "entry 't': expected a dtype that LibTorch has, got 'F6_E2M3'"},
      {"offsets the wrong way round",
       placed("[8,0]"),
       "entry 't': expected data_offsets of a begin and an end, got [8, 0]"},
      {"one offset",
       placed("[0]"),
       "entry 't': expected data_offsets of a begin and an end, got [0]"},
      {"three offsets",
       placed("[0,8,8]"),
       "entry 't': expected data_offsets of a begin and an end, got [0, 8, 8]"},
      {"an object as the offsets",
       placed(R"({"0":0,"1":8})"),
       "expected an array for 'data_offsets' in entry 't', got an object"},
      {"a negative offset",
       placed("[-8,0]"),
       "expected numbers from 0 to 2^64 in 'data_offsets' of entry 't', got "
       "-8"},
      {"an array as the metadata",
       safetensors_bytes(R"({"__metadata__":[]})"),
       "expected an object for '__metadata__' in the header, got an array"},
      {"a text as the metadata",
       safetensors_bytes(R"({"__metadata__":"a"})"),
       "expected an object for '__metadata__' in the header, got 'a'"},
      {"a number in the metadata",
       safetensors_bytes(R"({"__metadata__":{"a":1}})"),
       "expected a text for 'a' in __metadata__, got 1"},
      {"null in the metadata",
       safetensors_bytes(R"({"__metadata__":{"a":null}})"),
       "expected a text for 'a' in __metadata__, got null"},
      {"an object in the metadata",
       safetensors_bytes(R"({"__metadata__":{"a":{}}})"),
       "expected a text for 'a' in __metadata__, got an object"}};
}

inline std::vector<SafetensorsCase> bad_names() {
  const std::string good = kGoodEntry;
  return {
      {"a tensor twice",
       safetensors_bytes(R"({"t":)" + good + R"(,"t":)" + good + "}", kData8),
       "expected different names in the header, got 't' twice"},
      {"a tensor twice, once escaped",
       safetensors_bytes(
           R"({"t":)" + good + R"(,"\u0074":)" + good + "}", kData8),
       "expected different names in the header, got 't' twice"},
      {"the dtype twice",
       f32(R"("dtype":"F32","shape":[2],"data_offsets":[0,8])"),
       "expected different names in entry 't', got 'dtype' twice"},
      {"an unknown key twice",
       f32(R"("x":1,"x":2,"shape":[2],"data_offsets":[0,8])"),
       "expected different names in entry 't', got 'x' twice"},
      {"a text of the metadata twice",
       safetensors_bytes(R"({"__metadata__":{"a":"1","a":"2"}})"),
       "expected different names in __metadata__, got 'a' twice"},
      {"the metadata twice",
       safetensors_bytes(R"({"__metadata__":{},"__metadata__":{}})"),
       "expected different names in the header, got '__metadata__' twice"}};
}

inline std::vector<SafetensorsCase> bad_sizes() {
  const std::string sizes =
      "entry 't': expected sizes that a tensor can have, ";
  const auto empty = [](const std::string& shape) {
    return f32(R"("shape":)" + shape + R"(,"data_offsets":[0,0])", "");
  };
  return {
      {"offsets of fewer bytes",
       placed("[0,7]"),
       "entry 't': expected 8 bytes for F32 of [2], got data_offsets of 7"},
      {"offsets of no byte",
       f32(R"("shape":[2],"data_offsets":[0,0])", ""),
       "entry 't': expected 8 bytes for F32 of [2], got data_offsets of 0"},
      {"more elements than 2^64",
       shaped("[2,18446744073709551614]"),
       sizes + "got [2, 18446744073709551614]"},
      {"more bytes than 2^64",
       shaped("[2,9223372036854775807]"),
       sizes + "got [2, 9223372036854775807]"},
      {"bytes that are 0 modulo 2^64",
       empty("[4611686018427387904]"),
       sizes + "got [4611686018427387904]"},
      {"more bytes than 2^63",
       empty("[2305843009213693952]"),
       sizes + "got [2305843009213693952]"},
      {"strides beyond 2^63 behind a 0",
       empty("[0,9223372036854775807,4]"),
       sizes + "got [0, 9223372036854775807, 4]"},
      {"strides beyond 2^63 before a 0",
       empty("[9223372036854775807,4,0]"),
       sizes + "got [9223372036854775807, 4, 0]"},
      {"a size beyond 2^63 behind a 0",
       empty("[0,18446744073709551615]"),
       sizes + "got [0, 18446744073709551615]"}};
}

inline std::vector<SafetensorsCase> bad_data() {
  const auto all_bytes = placed("[0,8]");
  const auto begins = [](const std::string& name,
                         const std::string& at,
                         const std::string& got) {
    return "expected the data of entry '" + name + "' to begin at byte " + at +
           ", where that before it ends, got " + got;
  };
  return {
      {"data that overlaps",
       two(R"("shape":[4],"data_offsets":[0,4])",
           R"("shape":[6],"data_offsets":[2,8])"),
       begins("b", "4", "2: they overlap")},
      {"data of two tensors",
       two(R"("shape":[8],"data_offsets":[0,8])",
           R"("shape":[8],"data_offsets":[0,8])"),
       begins("b", "8", "0: they overlap")},
      {"a hole",
       two(R"("shape":[3],"data_offsets":[0,3])",
           R"("shape":[4],"data_offsets":[4,8])"),
       begins("b", "3", "4: there is a hole")},
      {"no data in the midst of some",
       two(R"("shape":[0],"data_offsets":[4,4])",
           R"("shape":[8],"data_offsets":[0,8])"),
       begins("a", "8", "4: they overlap")},
      {"no data behind the file",
       two(R"("shape":[0],"data_offsets":[9,9])",
           R"("shape":[8],"data_offsets":[0,8])"),
       begins("a", "8", "9: there is a hole")},
      {"a hole at the begin",
       f32(R"("shape":[1],"data_offsets":[4,8])"),
       begins("t", "0", "4: there is a hole")},
      {"a byte too many",
       all_bytes + "x",
       "expected 8 bytes of data, as its header says, got 9"},
      {"a byte too few",
       all_bytes.substr(0, all_bytes.size() - 1),
       "expected 8 bytes of data, as its header says, got 7"},
      {"data of no tensor",
       safetensors_bytes("{}", kData8),
       "expected 0 bytes of data, as its header says, got 8"}};
}

}  // namespace safetensors_detail

/// Each with a part of the message that it is refused with.
inline std::vector<SafetensorsCase> malformed_safetensors() {
  namespace detail = safetensors_detail;
  std::vector<SafetensorsCase> all;
  for (const auto& cases :
       {detail::bad_lengths(),
        detail::bad_json(),
        detail::bad_entries(),
        detail::bad_names(),
        detail::bad_sizes(),
        detail::bad_data()}) {
    all.insert(all.end(), cases.begin(), cases.end());
  }
  return all;
}

/// Such that are read, although few writers write them.
inline std::vector<SafetensorsCase> odd_safetensors() {
  namespace detail = safetensors_detail;
  const std::string good = detail::kGoodEntry;
  const auto named = [&](const std::string& name) {
    return safetensors_bytes("{\"" + name + "\":" + good + "}", detail::kData8);
  };
  const auto nested = [](int depth) {
    const auto times = static_cast<std::size_t>(depth);
    return detail::with_unknown(
        std::string(times, '[') + std::string(times, ']'));
  };
  std::string ones = "[1";
  for (int i = 1; i < 70; ++i) {
    ones += ",1";
  }
  return {
      {"no tensor", safetensors_bytes("{}")},
      {"blanks of all kinds at the end", safetensors_bytes("{}\r \t\n")},
      {"blanks within",
       safetensors_bytes("{ \"t\" :\n" + good + "\t}", detail::kData8)},
      {"metadata alone", safetensors_bytes(R"({"__metadata__":{"a":"b"}})")},
      {"empty metadata", safetensors_bytes(R"({"__metadata__":{}})")},
      {"null as the metadata", safetensors_bytes(R"({"__metadata__":null})")},
      {"metadata at the end",
       safetensors_bytes(
           R"({"t":)" + good + R"(,"__metadata__":{"a":""}})", detail::kData8)},
      {"an empty name", named("")},
      {"a name with a zero", named("a\\u0000b")},
      {"a name beyond 16 bits", named("\\ud83d\\ude00 \U0001F600")},
      {"a scalar",
       detail::one(R"("dtype":"I64","shape":[],"data_offsets":[0,8])")},
      {"70 dims",
       detail::one(
           R"("dtype":"F64","shape":)" + ones + R"(],"data_offsets":[0,8])")},
      {"no elements, and large sizes",
       detail::f32(R"("shape":[0,1000000000000],"data_offsets":[0,0])", "")},
      {"no data at the end",
       detail::two(
           R"("shape":[0],"data_offsets":[8,8])",
           R"("shape":[8],"data_offsets":[0,8])")},
      {"no data twice, at the begin",
       safetensors_bytes(
           R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)"
           R"("b":{"dtype":"F32","shape":[3,0],"data_offsets":[0,0]},)"
           R"("c":)" +
               good + "}",
           detail::kData8)},
      {"booleans of other bytes than 0 and 1",
       detail::one(
           R"("dtype":"BOOL","shape":[8],"data_offsets":[0,8])",
           std::string_view("\0\1\2\3\4\5\6\7", 8))},
      {"unaligned data",
       safetensors_bytes(
           R"({"wide":{"shape":[1],"dtype":"I32","data_offsets":[1,5]},)"
           R"("bytes":{"dtype":"U8","data_offsets":[5,8],"shape":[3]},)"
           R"("byte":{"dtype":"I8","data_offsets":[0,1],"shape":[1]}}   )",
           detail::kData8)},
      {"an unknown key",
       detail::with_unknown(R"({"a":[[1.5,null,true]],"dtype":2})")},
      {"an unknown key with a large number",
       detail::with_unknown("123456789012345678901234567890")},
      {"an unknown key of 100 arrays", nested(100)},
      {"an unknown key of 1000 arrays", nested(1000)}};
}

}  // namespace gatedpaths::test
