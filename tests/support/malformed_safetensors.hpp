// SPDX-License-Identifier: MIT
// Safetensors files that are malformed, one of each kind.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "support/safetensors_files.hpp"

namespace gatedpaths::test {

namespace safetensors_detail {

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

}  // namespace gatedpaths::test
