// SPDX-License-Identifier: MIT
#include <gatedpaths/exchange/checkpoint.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"

#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace gatedpaths {
namespace {

namespace fs = std::filesystem;
namespace nn = torch::nn;

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using test::message_of;
using test::read_file;
using test::TemporaryFolder;

std::ptrdiff_t count_files(const TemporaryFolder& folder) {
  return std::distance(fs::directory_iterator(folder.path()), {});
}

void save_text(const fs::path& file, const std::string& text) {
  save_atomically(file, [&text](const ByteSink& sink) {
    CHECK(sink(text.data(), text.size()) == text.size());
  });
}

torch::serialize::InputArchive archive_of(const nn::Module& module) {
  torch::serialize::OutputArchive out;
  module.save(out);
  std::stringstream stream;
  out.save_to(stream);
  torch::serialize::InputArchive in;
  in.load_from(stream);
  return in;
}

nn::Sequential net(int64_t hidden = 4) {
  return nn::Sequential(
      nn::Linear(3, hidden), nn::BatchNorm1d(hidden), nn::Linear(hidden, 2));
}

using Tensors = std::vector<torch::Tensor>;

Tensors tensors_of(const nn::Module& module) {
  auto tensors = module.parameters();
  const auto buffers = module.buffers();
  tensors.insert(tensors.end(), buffers.begin(), buffers.end());
  return tensors;
}

Tensors copies(const Tensors& tensors) {
  Tensors result;
  for (const auto& tensor : tensors) {
    result.push_back(tensor.detach().clone());
  }
  return result;
}

bool same(const Tensors& a, const Tensors& b) {
  return std::equal(
      a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
        return x.equal(y);
      });
}

bool same(const nn::Module& a, const nn::Module& b) {
  return same(tensors_of(a), tensors_of(b));
}

}  // namespace

TEST_CASE("save_atomically: writes and replaces a file", "[checkpoint]") {
  const TemporaryFolder folder;
  const auto file = folder / "file";
  save_text(file, "one");
  CHECK(read_file(file) == "one");
  save_text(file, "another");
  CHECK(read_file(file) == "another");
  save_text(file, "");
  CHECK(read_file(file).empty());
  CHECK(count_files(folder) == 1);
}

TEST_CASE(
    "save_atomically: the old file stays whole until the new one is",
    "[checkpoint][error]") {
  const TemporaryFolder folder;
  const auto file = folder / "file";
  save_text(file, "old");
  CHECK_THROWS_AS(
      save_atomically(
          file,
          [&](const ByteSink& sink) {
            sink("half of the ", 12);
            // What a crash here would leave: the old file, and one beside it.
            CHECK(read_file(file) == "old");
            CHECK(count_files(folder) == 2);
            throw std::runtime_error("stop");
          }),
      std::runtime_error);
  CHECK(read_file(file) == "old");
  CHECK(count_files(folder) == 1);
}

TEST_CASE(
    "save_atomically: keeps permissions and follows links", "[checkpoint]") {
  const TemporaryFolder folder;
  const auto file = folder / "file";
  save_text(file, "old");
  const auto mode =
      fs::perms::owner_read | fs::perms::owner_write | fs::perms::group_read;
  fs::permissions(file, mode);
  fs::create_symlink("file", folder / "link");
  save_text(folder / "link", "new");
  CHECK(fs::is_symlink(folder / "link"));
  CHECK(read_file(file) == "new");
  CHECK(fs::status(file).permissions() == mode);
}

TEST_CASE("save_atomically: a bare file name is one here", "[checkpoint]") {
  const TemporaryFolder folder;
  const auto before = fs::current_path();
  fs::current_path(folder.path());
  save_text("file", "text");
  fs::current_path(before);
  CHECK(read_file(folder / "file") == "text");
}

TEST_CASE(
    "save_atomically: names the path and the reason", "[checkpoint][error]") {
  const TemporaryFolder folder;
  CHECK_THAT(
      message_of<c10::Error>([&] { save_text(folder / "none/file", "text"); }),
      StartsWith("save_atomically: cannot create '") &&
          ContainsSubstring("none/file.tmp-") &&
          ContainsSubstring("': No such file or directory"));
  fs::create_directory(folder / "folder");
  CHECK(
      message_of<c10::Error>([&] { save_text(folder / "folder", "text"); }) ==
      "save_atomically: expected a regular file or a new name, got '" +
          (folder / "folder").string() + "', which is a folder");
  CHECK(
      message_of<c10::Error>([] { save_text("/dev/null", "text"); }) ==
      "save_atomically: expected a regular file or a new name, got "
      "'/dev/null', which is a special file");
}

TEST_CASE("save_atomically: writes an archive", "[checkpoint][serialize]") {
  const TemporaryFolder folder;
  auto saved = net();
  torch::serialize::OutputArchive out;
  saved->save(out);
  save_atomically(folder / "net.pt", out);

  torch::serialize::InputArchive in;
  in.load_from((folder / "net.pt").string());
  auto loaded = net();
  CHECK_FALSE(same(*saved, *loaded));
  load_checked(*loaded, in);
  CHECK(same(*saved, *loaded));
  CHECK(count_files(folder) == 1);
}

TEST_CASE(
    "load_checked: fills the module's own tensors", "[checkpoint][serialize]") {
  auto saved = net();
  saved->forward(torch::rand({5, 3}));  // moves the BatchNorm's statistics
  auto loaded = net();
  loaded->parameters()[0].set_requires_grad(false);
  const auto weight = loaded->parameters()[0];
  const auto* storage = weight.data_ptr();
  auto archive = archive_of(*saved);
  load_checked(*loaded, archive);

  CHECK(same(*saved, *loaded));
  CHECK(weight.data_ptr() == storage);
  CHECK_FALSE(weight.requires_grad());
  CHECK(loaded->parameters()[1].requires_grad());

  SECTION("so that an archive may be loaded twice") {
    auto second = net();
    load_checked(*second, archive);
    const torch::NoGradGuard no_grad;
    second->parameters()[0].zero_();
    CHECK(same(*saved, *loaded));
  }
}

TEST_CASE(
    "load_checked: names every difference and changes nothing",
    "[checkpoint][error]") {
  const auto refused = [](nn::Module& module, const nn::Module& saved) {
    const auto before = copies(tensors_of(module));
    auto archive = archive_of(saved);
    auto message =
        message_of<c10::Error>([&] { load_checked(module, archive); });
    CHECK(same(tensors_of(module), before));
    return message;
  };

  SECTION("sizes") {
    nn::Linear module(3, 2);
    CHECK(
        refused(*module, *nn::Linear(4, 2)) ==
        "load_checked: parameter 'weight': expected [2, 3] Float, got [2, 4] "
        "Float");
  }
  SECTION("dtype") {
    nn::Linear module(nn::LinearOptions(3, 2).bias(false));
    nn::Linear saved(nn::LinearOptions(3, 2).bias(false));
    saved->to(torch::kDouble);
    CHECK(
        refused(*module, *saved) ==
        "load_checked: parameter 'weight': expected [2, 3] Float, got [2, 3] "
        "Double");
  }
  SECTION("missing and unexpected keys") {
    nn::Sequential module({{"a", nn::Linear(3, 2)}, {"b", nn::ReLU()}});
    nn::Sequential saved({{"c", nn::Linear(3, 2)}, {"b", nn::ReLU()}});
    CHECK(
        refused(*module, *saved) ==
        "load_checked: missing 'a.weight', 'a.bias'; unexpected 'c'");
  }
  SECTION("nested, with buffers") {
    const auto message = refused(*net(5), *net());
    CHECK_THAT(
        message,
        StartsWith("load_checked: parameter '0.weight': expected [5, 3] Float, "
                   "got [4, 3] Float; parameter '0.bias'"));
    CHECK_THAT(
        message,
        ContainsSubstring("; buffer '1.running_mean': expected [5] Float, got "
                          "[4] Float"));
  }
}

}  // namespace gatedpaths
