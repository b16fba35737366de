// SPDX-License-Identifier: MIT
#include "download.hpp"

#include "data_source.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"
#include "support/process.hpp"

#include <cstdlib>

namespace cifar10 {

namespace test = gatedpaths::test;
namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;
using test::message_of;
using test::read_file;
using test::write_file;

/// Packs `source/<name>/data_batch_1.bin` with this text, and gives the archive
/// with its md5.
Archive pack(
    const test::TemporaryFolder& folder,
    const std::string& text,
    const std::string& name = "cifar-10-batches-bin") {
  const auto source = folder / "source";
  test::fs::remove_all(source);
  test::fs::create_directories(source / name);
  write_file(source / name / "data_batch_1.bin", text);
  const auto file = (folder / "archive.tar.gz").string();
  const auto packed = test::run(
      {"cmake",
       "-E",
       "chdir",
       source.string(),
       "cmake",
       "-E",
       "tar",
       "czf",
       file,
       name},
      folder.path());
  REQUIRE(packed.status == 0);
  const auto sum = test::run({"cmake", "-E", "md5sum", file}, folder.path());
  return {.url = "file://" + file, .md5 = sum.out.substr(0, 32)};
}

const auto kData = test::fs::path("cifar-10-batches-bin") / "data_batch_1.bin";

}  // namespace

TEST_CASE("download: an archive with the right md5 is unpacked", "[cifar10]") {
  const test::TemporaryFolder folder;
  const auto target = folder / "cache";
  download(pack(folder, "one"), target);
  CHECK(read_file(target / kData) == "one");

  SECTION("and nothing else stays") {
    CHECK(
        std::distance(
            test::fs::directory_iterator(target),
            test::fs::directory_iterator()) == 1);
  }
  SECTION("running it again replaces what was there") {
    download(pack(folder, "two"), target);
    CHECK(read_file(target / kData) == "two");
  }
  SECTION("a download that fails leaves what was there") {
    auto archive = pack(folder, "two");
    archive.md5[0] = archive.md5[0] == '0' ? '1' : '0';
    CHECK_THROWS_AS(download(archive, target), c10::Error);
    CHECK(read_file(target / kData) == "one");
  }
}

TEST_CASE(
    "download: a broken or altered archive is never used, and running again "
    "replaces it",
    "[cifar10][error]") {
  const test::TemporaryFolder folder;
  const auto target = folder / "cache";
  const auto good = pack(folder, "good");
  const auto bytes = read_file(folder / "archive.tar.gz");

  const bool cut = GENERATE(true, false);
  auto broken = bytes;
  if (cut) {
    broken.resize(broken.size() - 10);
  } else {
    broken[broken.size() / 2] ^= 1;
  }
  write_file(folder / "archive.tar.gz", broken);
  CHECK_THAT(
      message_of<c10::Error>([&] { download(good, target); }),
      StartsWith(
          "download: " + good.url + ": expected an archive with md5 " +
          good.md5 + ", got ") &&
          EndsWith("; nothing of it is used"));
  CHECK(test::fs::is_empty(target));

  write_file(folder / "archive.tar.gz", bytes);
  download(good, target);
  CHECK(read_file(target / kData) == "good");
}

TEST_CASE("download: what fails is named", "[cifar10][error]") {
  const test::TemporaryFolder folder;

  SECTION("an address where there is nothing") {
    const auto url = "file://" + (folder / "none").string();
    CHECK_THAT(
        message_of<c10::Error>(
            [&] { download({.url = url}, folder / "cache"); }),
        StartsWith("download: expected the archive at " + url + ", got: "));
  }
  SECTION("an archive without the folder") {
    CHECK_THAT(
        message_of<c10::Error>(
            [&] { download(pack(folder, "text", "other"), folder / "cache"); }),
        EndsWith("expected a folder cifar-10-batches-bin in the archive, got "
                 "none"));
  }
  SECTION("a folder that cannot be made") {
    write_file(folder / "file", "text");
    CHECK_THAT(
        message_of<c10::Error>(
            [&] { download({}, folder / "file" / "cache"); }),
        StartsWith("download: expected a folder that can be written, got '"));
  }
  SECTION("no place for it") {
    CHECK(
        message_of<c10::Error>([] { download({}, ""); }) ==
        "download: expected HOME or XDG_CACHE_HOME to be set, got neither");
  }
}

TEST_CASE(
    "data source: a download is found later, and the stand-in without one",
    "[cifar10]") {
  const test::TemporaryFolder folder;
  REQUIRE(::setenv("XDG_CACHE_HOME", folder.path().c_str(), 1) == 0);
  CHECK(download_folder() == folder / "gatedpaths" / "cifar10");

  CHECK(load_data({.limit = 10}).is_stand_in);

  const DataRequest request{
      .download = true, .archive = pack(folder, "no records"), .limit = 10};
  const auto message = message_of<c10::Error>([&] { load_data(request); });
  CHECK_THAT(
      message,
      ContainsSubstring("expected 30730000 bytes") &&
          EndsWith("; --download gets it again"));
  // The next run finds it without being asked to download.
  CHECK(message_of<c10::Error>([] { load_data({.limit = 10}); }) == message);
}

}  // namespace cifar10
