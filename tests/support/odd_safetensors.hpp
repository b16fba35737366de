// SPDX-License-Identifier: MIT
// Safetensors files that are as they have to be, and odd.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "support/safetensors_files.hpp"

namespace gatedpaths::test {

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
