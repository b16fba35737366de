// SPDX-License-Identifier: MIT
// What is taken and what is refused, here and by Python's own package.
#include <gatedpaths/exchange/safetensors.hpp>

#include <torch/version.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "parity/python.hpp"
#include "parity/safetensors_mutations.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"
#include "support/malformed_safetensors.hpp"
#include "support/odd_safetensors.hpp"
#include "support/safetensors_files.hpp"
#include "support/tensors.hpp"

namespace gp = gatedpaths;

using gp::load_safetensors;
using gp::StateDict;
using gp::test::bit_equal;
using gp::test::quoted;
using gp::test::run_python;
using gp::test::SafetensorsCase;
using gp::test::TemporaryFolder;

namespace {

/// Where the two are not of one mind, and why.
struct Difference {
  std::string reason;
  std::string message;          // a part of what the one that refuses it says
  std::set<std::string> cases;  // by name, of those with a name
};

const std::vector<Difference> kRefusedHereAlone = {
    {"the format forbids names that come twice; the package keeps the last, "
     "but "
     "for those that it knows",
     "' twice",
     {"a tensor twice",
      "a tensor twice, once escaped",
      "an unknown key twice",
      "a text of the metadata twice"}},
    {"the format's header begins with a brace; the package skips blanks",
     "expected a header that starts with '{', got byte 0x",
     {"a blank first",
      "a tab first",
      "a line's end first",
      "a carriage return first"}},
    {"the format's entries are objects; the package's parser takes the values "
     "alone, too",
     "in the header, got an array",
     {"an array as an entry"}},
    {"the format's dtypes are texts; the package's parser takes an object of "
     "that key, too",
     "expected a text for 'dtype'",
     {"an object as the dtype"}},
#if TORCH_VERSION_MAJOR > 2 || TORCH_VERSION_MINOR >= 8
    {"a pair of numbers is one element of LibTorch's dtype, which it has since "
     "2.8",
     "got 'F4'",
     {"a dtype of 4 bits"}},
#endif
};

const std::vector<Difference> kRefusedThereAlone = {
    {"what an unknown key has is skipped here at any depth; the package's "
     "parser calls itself, to a limit",
     "recursion limit exceeded",
     {"an unknown key of 1000 arrays"}},
};

std::set<std::string> cases_of(const std::vector<Difference>& differences) {
  std::set<std::string> names;
  for (const auto& difference : differences) {
    names.insert(difference.cases.begin(), difference.cases.end());
  }
  return names;
}

bool is_known(
    const std::vector<Difference>& differences, const std::string& message) {
  return std::any_of(
      differences.begin(), differences.end(), [&](const Difference& known) {
        return message.find(known.message) != std::string::npos;
      });
}

/// What each says of a file; empty where it is taken.
struct Verdicts {
  std::string here;
  std::string there;
};

bool is_same(const StateDict& a, const StateDict& b) {
  return a.size() == b.size() &&
         std::all_of(a.begin(), a.end(), [&](const auto& item) {
           const auto* const other = b.find(item.key());
           const auto& tensor = item.value();
           return other != nullptr && other->sizes() == tensor.sizes() &&
                  other->scalar_type() == tensor.scalar_type() &&
                  bit_equal(
                      other->flatten().view(at::kByte),
                      tensor.flatten().view(at::kByte));
         });
}

// Of a file that both take, both have the same tensors.
std::vector<Verdicts> judge(const std::vector<SafetensorsCase>& cases) {
  const TemporaryFolder folder;
  std::vector<std::filesystem::path> files;
  for (const auto& one : cases) {
    const auto number = std::to_string(100'000 + files.size());
    files.push_back(folder / (number + ".safetensors"));
    gp::test::write_file(files.back(), one.bytes);
  }
  REQUIRE(run_python("judge-safetensors " + quoted(folder.path())) == 0);
  std::istringstream lines(gp::test::read_file(folder / "verdicts"));
  std::vector<Verdicts> all;
  for (std::size_t i = 0; i < files.size(); ++i) {
    CAPTURE(cases[i].name);
    Verdicts verdicts;
    StateDict tensors;
    try {
      tensors = load_safetensors(files[i]);
    } catch (const c10::ValueError& error) {
      verdicts.here = error.what_without_backtrace();
    }
    std::string stem;
    std::string verdict;
    lines >> stem >> verdict;
    REQUIRE(stem == files[i].stem());
    std::getline(lines, verdicts.there);
    REQUIRE((verdict == "taken") == verdicts.there.empty());
    if (verdicts.here.empty() && verdicts.there.empty()) {
      CHECK(is_same(tensors, load_safetensors(files[i].string() + ".again")));
    }
    all.push_back(verdicts);
  }
  return all;
}

// What has been different since the package's 0.8 is not looked for in others.
void need_this_package() {
  gp::test::need_python(
      "import numpy, safetensors as s, sys; "
      "sys.exit(tuple(map(int, s.__version__.split(\".\")[:2])) < (0, 8))",
      "numpy, safetensors of at least 0.8");
}

}  // namespace

TEST_CASE(
    "safetensors: the package in Python refuses what is refused here, and "
    "takes "
    "the rest",
    "[parity][safetensors]") {
  need_this_package();
  auto cases = gp::test::malformed_safetensors();
  const auto malformed = cases.size();
  const auto odd = gp::test::odd_safetensors();
  cases.insert(cases.end(), odd.begin(), odd.end());
  const auto verdicts = judge(cases);
  std::set<std::string> refused_here_alone;
  std::set<std::string> refused_there_alone;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const auto& [here, there] = verdicts[i];
    CAPTURE(cases[i].name, here, there);
    CHECK(here.empty() == (i >= malformed));
    if (!here.empty() && there.empty()) {
      refused_here_alone.insert(cases[i].name);
      CHECK(is_known(kRefusedHereAlone, here));
    } else if (here.empty() && !there.empty()) {
      refused_there_alone.insert(cases[i].name);
      CHECK(is_known(kRefusedThereAlone, there));
    }
  }
  CHECK(refused_here_alone == cases_of(kRefusedHereAlone));
  CHECK(refused_there_alone == cases_of(kRefusedThereAlone));
}

TEST_CASE(
    "safetensors: the package in Python agrees on files that are changed at "
    "random",
    "[parity][safetensors]") {
  need_this_package();
  const auto seed = torch::randint(1 << 30, {}, at::kInt).item<int>();
  gp::test::SafetensorsMutations mutations(static_cast<std::uint32_t>(seed));
  std::vector<SafetensorsCase> cases;
  for (int i = 0; i < 300; ++i) {
    cases.push_back({"change " + std::to_string(i), mutations.next()});
  }
  int taken = 0;
  const auto verdicts = judge(cases);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const auto& [here, there] = verdicts[i];
    CAPTURE(seed, cases[i].name, cases[i].bytes, here, there);
    if (here.empty() && there.empty()) {
      ++taken;
    } else if (there.empty()) {
      CHECK(is_known(kRefusedHereAlone, here));
    } else if (here.empty()) {
      CHECK(is_known(kRefusedThereAlone, there));
    }
  }
  CHECK(taken >= 20);
  CHECK(taken <= 200);
}

TEST_CASE(
    "safetensors: what the package in Python writes is read, odd or empty",
    "[parity][safetensors]") {
  gp::test::need_safetensors();
  const TemporaryFolder folder;
  const auto file = folder / "odd.safetensors";
  REQUIRE(run_python("write-odd-safetensors " + quoted(file)) == 0);
  const auto tensors = load_safetensors(file);
  const auto sizes = [&](const char* name) {
    CAPTURE(name);
    REQUIRE(tensors.contains(name));
    return tensors[name].sizes().vec();
  };
  using Sizes = std::vector<std::int64_t>;
  CHECK(tensors.size() == 9);
  CHECK(sizes("scalar").empty());
  CHECK(tensors["scalar"].item<double>() == 2.5);
  CHECK(sizes("no elements") == Sizes{0});
  CHECK(sizes("no rows") == Sizes{0, 3});
  CHECK(tensors["no rows"].scalar_type() == at::kLong);
  CHECK(sizes("no columns") == Sizes{2, 0, 3});
  CHECK(sizes("many dims") == Sizes(20, 1));
  CHECK(bit_equal(tensors[""], torch::tensor({true, false})));
  const char* odd_name = "a \"b\" \\ /\n\t\x7f \u00e9 \U0001F600";
  REQUIRE(sizes(odd_name) == Sizes{3});
  CHECK(std::signbit(tensors[odd_name][0].item<float>()));
  CHECK(std::isnan(tensors[odd_name][1].item<float>()));
  CHECK(std::isinf(tensors[odd_name][2].item<float>()));
  CHECK(
      tensors["complex"][1].item<c10::complex<float>>() ==
      c10::complex<float>(0, -3));
  CHECK(bit_equal(tensors["odd bytes"], torch::arange(3, at::kByte)));
  CHECK(
      gp::safetensors_metadata(file) ==
      gp::SafetensorsMetadata{
          {"", ""}, {"a \"b\"", "\n\\\u00e9\U0001F600"}, {"format", "pt"}});
  CHECK(load_safetensors(folder / "odd.safetensors.none").is_empty());
  CHECK(gp::safetensors_metadata(folder / "odd.safetensors.none").empty());
  CHECK(
      gp::safetensors_metadata(folder / "odd.safetensors.metadata") ==
      gp::SafetensorsMetadata{{"a", "b"}});
}
