// SPDX-License-Identifier: MIT
// Reading a safetensors file of 1 GB, and the same tensors in several files,
// against reading the file's bytes. The page cache holds all of it, so that no
// disk is timed: what is compared is the copy out of it, and the memory for it,
// which all rows take from the system anew and give back each time.
#include "support/program.hpp"
#include "support/temporary_folder.hpp"

#include <gatedpaths/gatedpaths.hpp>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>
#include <c10/util/Exception.h>
#include <torch/utils.h>

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace {

namespace gp = gatedpaths;
namespace fs = std::filesystem;

constexpr std::int64_t kMegabyte = std::int64_t{1} << 20;
constexpr std::int64_t kShards = 4;

/// Matrices of 16 MB, each with a vector, as layers have.
gp::StateDict make_tensors(std::int64_t megabytes) {
  constexpr std::int64_t kRows = 2048;
  const std::int64_t columns = megabytes < 16 ? 64 : 2048;
  const auto count = megabytes * kMegabyte / (4 * kRows * columns);
  torch::manual_seed(0);
  gp::StateDict tensors;
  for (std::int64_t i = 0; i < count; ++i) {
    tensors.insert(
        fmt::format("layer{}.weight", i), at::randn({kRows, columns}));
    tensors.insert(fmt::format("layer{}.bias", i), at::randn({kRows}));
  }
  return tensors;
}

/// The bytes of a file by read(2), in memory of their own.
torch::Tensor read_bytes(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const auto system_error = [&] {
    return path.string() + ": " + std::generic_category().message(errno);
  };
  TORCH_CHECK(descriptor >= 0, system_error());
  struct stat status = {};
  TORCH_CHECK(::fstat(descriptor, &status) == 0, system_error());
  auto bytes = at::empty({status.st_size}, at::kByte);
  auto* to = bytes.mutable_data_ptr<std::uint8_t>();
  for (auto left = static_cast<std::size_t>(status.st_size); left > 0;) {
    const auto count = ::read(descriptor, to, left);
    TORCH_CHECK(count > 0, system_error());
    to += count;
    left -= static_cast<std::size_t>(count);
  }
  ::close(descriptor);
  return bytes;
}

class Files {
 public:
  void write(std::int64_t megabytes) {
    const auto tensors = make_tensors(megabytes);
    file_ = folder_.path() / "net.safetensors";
    index_ = folder_.path() / "net.safetensors.index.json";
    gp::save_safetensors(file_, tensors);
    gp::save_sharded_safetensors(
        index_, tensors, megabytes * kMegabyte / kShards);
    check(tensors);
  }

  gp::StateDict load() const { return gp::load_safetensors(file_); }
  gp::StateDict load_sharded() const { return gp::load_safetensors(index_); }
  torch::Tensor read() const { return read_bytes(file_); }

  std::int64_t bytes() const {
    return static_cast<std::int64_t>(fs::file_size(file_));
  }

 private:
  void check(const gp::StateDict& expected) const {
    const auto loaded = load();
    check_tensors("load_safetensors", loaded, expected);
    check_tensors("load_sharded", load_sharded(), expected);
    // The data, one after the other, are the end of the file.
    const auto bytes = read();
    auto at = bytes.size(0);
    for (const auto& item : loaded) {
      at -= static_cast<std::int64_t>(item.value().nbytes());
    }
    for (const auto& item : loaded) {
      const auto size = static_cast<std::int64_t>(item.value().nbytes());
      TORCH_CHECK(
          bytes.narrow(0, at, size)
              .equal(item.value().flatten().view(at::kByte)),
          "read: expected the bytes of ",
          item.key(),
          " from byte ",
          at,
          " on");
      at += size;
    }
  }

  static void check_tensors(
      std::string_view what,
      const gp::StateDict& loaded,
      const gp::StateDict& expected) {
    TORCH_CHECK(
        loaded.size() == expected.size(),
        what,
        ": expected ",
        expected.size(),
        " tensors, got ",
        loaded.size());
    for (const auto& item : expected) {
      const auto* const tensor = loaded.find(item.key());
      TORCH_CHECK(
          tensor != nullptr && tensor->equal(item.value()),
          what,
          ": expected ",
          item.key(),
          " as it was saved");
    }
  }

  bench::TemporaryFolder folder_;
  fs::path file_;
  fs::path index_;
};

template <class Work>
bench::Row make_row(
    const Files& files,
    std::string_view form,
    std::int64_t megabytes,
    const Work& work) {
  return {
      fmt::format("exchange/{}/megabytes:{}", form, megabytes),
      [&files, work](benchmark::State& state) {
        for (auto _ : state) {
          benchmark::DoNotOptimize(work());
        }
        state.SetBytesProcessed(
            static_cast<std::int64_t>(state.iterations()) * files.bytes());
      },
      benchmark::kMillisecond};
}

std::vector<bench::Group> make_groups(
    Files& files, const bench::Settings& settings) {
  const std::int64_t megabytes = settings.quick ? 4 : 1024;
  bench::Group group;
  group.check = [&files, megabytes] {
    at::set_num_threads(1);
    files.write(megabytes);
  };
  group.rows = {
      make_row(files, "read", megabytes, [&files] { return files.read(); }),
      make_row(
          files,
          "load_safetensors",
          megabytes,
          [&files] { return files.load(); }),
      make_row(files, "load_sharded", megabytes, [&files] {
        return files.load_sharded();
      })};
  return {group};
}

/// Tells malloc to take what is large from the system each time: it else learns
/// to keep blocks of a tensor's size, but not those of the whole file.
void take_fresh_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 128 * 1024);
#endif
}

}  // namespace

int main(int argc, char** argv) {
  take_fresh_memory();
  Files files;
  return bench::run_program(
      argc,
      argv,
      [&files](const bench::Settings& settings) {
        return make_groups(files, settings);
      },
      {.repetitions = 7, .seconds = 0.001});
}
