// SPDX-License-Identifier: MIT
#include <gatedpaths/exchange/safetensors.hpp>

#include <torch/version.h>

#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"
#include "support/malformed_safetensors.hpp"
#include "support/odd_safetensors.hpp"
#include "support/safetensors_dtypes.hpp"
#include "support/safetensors_files.hpp"
#include "support/tensors.hpp"

namespace fs = std::filesystem;

using gatedpaths::load_safetensors;
using gatedpaths::safetensors_metadata;
using gatedpaths::save_safetensors;
using gatedpaths::save_sharded_safetensors;
using gatedpaths::StateDict;
using gatedpaths::test::bit_equal;
using gatedpaths::test::length_bytes;
using gatedpaths::test::message_of;
using gatedpaths::test::read_file;
using gatedpaths::test::safetensors_bytes;
using gatedpaths::test::TemporaryFolder;
using gatedpaths::test::write_file;

namespace {

// Of every dtype and some shapes; values are bit patterns of all kinds.
StateDict tensors_of_all_dtypes() {
  StateDict tensors;
  for (const auto dtype : gatedpaths::test::kSafetensorsDtypes) {
    tensors.insert(
        c10::toString(dtype),
        torch::randint(0, 2, {3, 5}, torch::kInt).to(dtype));
  }
#if TORCH_VERSION_MAJOR > 2 || TORCH_VERSION_MINOR >= 7
  tensors.insert("E8M0", torch::ones(3).to(at::kFloat8_e8m0fnu));
#endif
  tensors.insert("scalar", torch::tensor(2.5));
  tensors.insert("empty", torch::empty({0, 3}));
  tensors.insert("transposed", torch::randn({3, 4}).t());
  tensors.insert("layer1.0.\"quoted\" \\ \u00e9\n", torch::randn(2));
  tensors.insert(
      "not finite",
      torch::tensor(
          {std::numeric_limits<float>::infinity(),
           std::numeric_limits<float>::quiet_NaN(),
           -0.0F}));
  return tensors;
}

bool same_bytes(const torch::Tensor& a, const torch::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() &&
         bit_equal(
             a.contiguous().flatten().view(at::kByte),
             b.contiguous().flatten().view(at::kByte));
}

void check_same(const StateDict& loaded, const StateDict& expected) {
  REQUIRE(loaded.size() == expected.size());
  for (const auto& item : expected) {
    CAPTURE(item.key());
    REQUIRE(loaded.contains(item.key()));
    CHECK(same_bytes(loaded[item.key()], item.value()));
  }
}

}  // namespace

TEST_CASE(
    "safetensors: what was saved is loaded, bit for bit",
    "[safetensors][serialize]") {
  const TemporaryFolder folder;
  const auto path = folder / "all.safetensors";
  const auto tensors = tensors_of_all_dtypes();
  save_safetensors(path, tensors, {{"format", "pt"}, {"note", "a \"b\""}});
  check_same(load_safetensors(path), tensors);
  CHECK(
      safetensors_metadata(path) ==
      gatedpaths::SafetensorsMetadata{{"format", "pt"}, {"note", "a \"b\""}});

  save_safetensors(path, StateDict());
  CHECK(load_safetensors(path).is_empty());
  CHECK(safetensors_metadata(path).empty());
}

TEST_CASE(
    "safetensors: the bytes are those of the format's own writer",
    "[safetensors]") {
  const TemporaryFolder folder;
  const auto path = folder / "net.safetensors";
  StateDict tensors;
  tensors.insert("count", torch::tensor({1}, torch::kByte));
  tensors.insert("b", torch::tensor({3.0F, 4.0F}));
  tensors.insert("a", torch::tensor({{1.0F, 2.0F}}));
  save_safetensors(path, tensors);
  const std::string header =
      R"({"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},)"
      R"("b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]},)"
      R"("count":{"dtype":"U8","shape":[1],"data_offsets":[16,17]}})";
  const auto bytes = read_file(path);
  const auto padded = (header.size() + 7) / 8 * 8;
  CHECK(bytes.size() == 8 + padded + 17);
  CHECK(bytes.substr(0, 8) == length_bytes(padded));
  CHECK(
      bytes.substr(8, padded) ==
      header + std::string(padded - header.size(), ' '));
}

TEST_CASE(
    "safetensors: tensors have memory of their own and no graph",
    "[safetensors]") {
  const TemporaryFolder folder;
  const auto path = folder / "net.safetensors";
  StateDict tensors;
  auto weight = torch::randn({4, 4}).requires_grad_();
  tensors.insert("weight", weight);
  tensors.insert("tied", weight);
  save_safetensors(path, tensors);
  auto loaded = load_safetensors(path);
  CHECK_FALSE(loaded["weight"].requires_grad());
  loaded["weight"].zero_();
  CHECK(bit_equal(loaded["tied"], weight.detach()));
  loaded["tied"].requires_grad_();
  loaded["tied"].sum().backward();
  check_same(load_safetensors(path), tensors);
}

TEST_CASE(
    "safetensors: data need not be aligned, nor entries in its order",
    "[safetensors]") {
  const TemporaryFolder folder;
  const auto path = folder / "net.safetensors";
  write_file(
      path,
      safetensors_bytes(
          R"({"wide":{"shape":[1],"dtype":"I32","data_offsets":[3,7]},)"
          R"("bytes":{"dtype":"U8","data_offsets":[0,3],"shape":[3],)"
          R"("later":{"a":[[1.5,null]],"dtype":2}}}   )",
          std::string("\1\2\3\4\0\0\0", 7)));
  const auto loaded = load_safetensors(path);
  CHECK(loaded.keys() == std::vector<std::string>{"bytes", "wide"});
  CHECK(loaded["wide"].item<int>() == 4);
}

TEST_CASE("safetensors: malformed files are refused", "[safetensors][error]") {
  const TemporaryFolder folder;
  const auto path = folder / "bad.safetensors";
  for (const auto& bad : gatedpaths::test::malformed_safetensors()) {
    CAPTURE(bad.name);
    write_file(path, bad.bytes);
    const auto message =
        message_of<c10::ValueError>([&] { load_safetensors(path); });
    CHECK(message.starts_with("load_safetensors: '" + path.string() + "': "));
    CHECK_THAT(message, Catch::Matchers::ContainsSubstring(bad.message));
    CHECK_THROWS_AS(safetensors_metadata(path), c10::ValueError);
  }
}

TEST_CASE("safetensors: odd files are read", "[safetensors]") {
  const TemporaryFolder folder;
  const auto path = folder / "odd.safetensors";
  for (const auto& odd : gatedpaths::test::odd_safetensors()) {
    CAPTURE(odd.name);
    write_file(path, odd.bytes);
    StateDict tensors;
    REQUIRE_NOTHROW(tensors = load_safetensors(path));
    // What was read is written, and read again.
    save_safetensors(path, tensors, safetensors_metadata(path));
    check_same(load_safetensors(path), tensors);
  }
}

TEST_CASE(
    "safetensors: deep nesting is neither a crash nor kept",
    "[safetensors][error]") {
  const TemporaryFolder folder;
  const auto path = folder / "bad.safetensors";
  write_file(path, safetensors_bytes("{\"t\":" + std::string(1 << 20, '[')));
  CHECK_THROWS_AS(load_safetensors(path), c10::ValueError);
  const std::string deep =
      std::string(1 << 20, '[') + std::string(1 << 20, ']');
  write_file(
      path,
      safetensors_bytes(
          R"({"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":)" + deep +
          "}}"));
  CHECK(load_safetensors(path).size() == 1);
}

TEST_CASE(
    "safetensors: zeros in sizes, and tensors without data", "[safetensors]") {
  const TemporaryFolder folder;
  const auto path = folder / "net.safetensors";
  write_file(
      path,
      safetensors_bytes(
          R"({"__metadata__":null,"b":{"dtype":"F32","shape":[0,5],)"
          R"("data_offsets":[0,0]},"a":{"dtype":"I64","shape":[],)"
          R"("data_offsets":[0,8]}})",
          std::string(8, '\0')));
  const auto loaded = load_safetensors(path);
  CHECK(loaded["b"].sizes() == c10::IntArrayRef({0, 5}));
  CHECK(loaded["a"].dim() == 0);
}

TEST_CASE("safetensors: files that are none", "[safetensors][error]") {
  const TemporaryFolder folder;
  CHECK_THAT(
      message_of<c10::Error>(
          [&] { load_safetensors(folder / "missing.safetensors"); }),
      Catch::Matchers::EndsWith(
          "missing.safetensors': cannot open it: No such file or directory"));
  CHECK_THAT(
      message_of<c10::ValueError>([&] { load_safetensors(folder.path()); }),
      Catch::Matchers::EndsWith("expected a regular file, got a folder"));
}

TEST_CASE("safetensors: what cannot be saved", "[safetensors][error]") {
  const TemporaryFolder folder;
  const auto path = folder / "net.safetensors";
  StateDict good;
  good.insert("weight", torch::randn(3));
  save_safetensors(path, good);
  const auto before = read_file(path);
  const auto save = [&](const std::string& name, const torch::Tensor& tensor) {
    StateDict tensors = good;
    tensors.insert(name, tensor);
    return message_of<c10::ValueError>(
        [&] { save_safetensors(path, tensors); });
  };
  const std::string prefix =
      "save_safetensors: expected a strided tensor of a dtype that the format "
      "has for 'bad', got ";
  CHECK(save("bad", {}) == prefix + "an undefined one");
  CHECK(
      save("bad", torch::eye(3).to_sparse()) ==
      prefix + "one of layout Sparse");
  CHECK(
      save("bad", torch::empty(3, torch::kMeta)) ==
      prefix + "a meta tensor, without values");
  CHECK(
      save("bad", torch::zeros(3, torch::kComplexDouble)) ==
      prefix + "one of ComplexDouble");
  CHECK(
      save(
          "bad",
          torch::quantize_per_tensor(torch::ones(2), 1, 0, at::kQInt8)) ==
      prefix + "one of QInt8");
  CHECK(save("__metadata__", torch::ones(2))
            .starts_with(
                "save_safetensors: expected another name than '__metadata__'"));
  CHECK(
      save("\xff", torch::ones(2))
          .starts_with(
              "save_safetensors: expected names and texts in UTF-8, got one"));
  CHECK_THROWS_AS(
      save_safetensors(path, good, {{"a", "\xff"}}), c10::ValueError);
  CHECK(read_file(path) == before);
  CHECK(std::distance(fs::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE("safetensors: sharded files", "[safetensors][serialize]") {
  const TemporaryFolder folder;
  const auto path = folder / "model.safetensors.index.json";
  StateDict tensors;
  tensors.insert("a", torch::randn(4));
  tensors.insert("large", torch::randn(40));
  tensors.insert("b", torch::randn(4));
  tensors.insert("c", torch::randn(4));
  save_sharded_safetensors(path, tensors, 32, {{"note", "x"}});
  CHECK(fs::exists(folder / "model-00001-of-00003.safetensors"));
  CHECK(
      load_safetensors(folder / "model-00003-of-00003.safetensors").keys() ==
      std::vector<std::string>{"b", "c"});
  check_same(load_safetensors(path), tensors);
  CHECK(
      safetensors_metadata(path) ==
      gatedpaths::SafetensorsMetadata{{"note", "x"}, {"total_size", "208"}});

  const auto text = read_file(path);
  const auto refused = [&](const std::string& index) {
    write_file(path, index);
    return message_of<c10::ValueError>([&] { load_safetensors(path); });
  };
  const auto with = [&](const std::string& from, const std::string& to) {
    auto changed = text;
    changed.replace(changed.find(from), from.size(), to);
    return changed;
  };
  const std::string first = "\"model-00001-of-00003.safetensors\"";
  CHECK(refused("[]").ends_with("got array"));
  CHECK(refused("{}").ends_with("got one without"));
  CHECK(refused("{").find("the parser says:") != std::string::npos);
  CHECK(refused(with(first, "\"../x\"")).ends_with("for 'a', got \"../x\""));
  CHECK(refused(with(first, "\"..\"")).ends_with("for 'a', got \"..\""));
  CHECK(refused(with(first, "3")).ends_with("for 'a', got 3"));
  CHECK(refused(with("\"b\"", "\"a\"")).ends_with("got 'a' twice"));
  CHECK(
      refused(with("\"b\"", "\"d\"")).find("expected 'b' in no file, got it") !=
      std::string::npos);
  CHECK(
      refused(with(first, "\"model-00002-of-00003.safetensors\""))
          .find("expected 2 tensors in 'model-00002") != std::string::npos);
  CHECK_THROWS_AS(
      save_sharded_safetensors(folder / "x.json", tensors, 32),
      c10::ValueError);
  CHECK_THROWS_AS(save_sharded_safetensors(path, tensors, 0), c10::ValueError);
}
