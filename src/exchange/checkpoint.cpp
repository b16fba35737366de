// SPDX-License-Identifier: MIT
#include <gatedpaths/exchange/checkpoint.hpp>

#include "../text/tensor_text.hpp"
#include "state_difference.hpp"

#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>
#include <torch/types.h>

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace gatedpaths {
namespace {

namespace fs = std::filesystem;

// ---- files ----

[[noreturn]] void fail(
    std::string_view action, const fs::path& path, int error_number) {
  TORCH_CHECK(
      false,
      "save_atomically: cannot ",
      action,
      " '",
      path.string(),
      "': ",
      std::generic_category().message(error_number));
}

/// A new file that removes itself unless it was renamed to its last place.
class TemporaryFile {
 public:
  TemporaryFile(const fs::path& target, mode_t mode) {
    static std::atomic<unsigned> counter{0};
    do {
      path_ = fmt::format(
          "{}.tmp-{}-{}", target.string(), ::getpid(), counter.fetch_add(1));
      descriptor_ =
          ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (descriptor_ < 0 && errno == EEXIST);
    if (descriptor_ < 0) {
      fail("create", path_, errno);
    }
    if (mode != 0) {
      ::fchmod(descriptor_, mode);  // where it fails, the default mode is fine
    }
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    if (descriptor_ >= 0) {
      ::close(descriptor_);
    }
    if (!renamed_) {
      ::unlink(path_.c_str());
    }
  }

  void write(const char* data, std::size_t size) {
    while (size > 0) {
      const auto written = ::write(descriptor_, data, size);
      if (written < 0) {
        if (errno == EINTR) {
          continue;
        }
        fail("write", path_, errno);
      }
      data += written;
      size -= static_cast<std::size_t>(written);
    }
  }

  void rename_to(const fs::path& target) {
    if (::fsync(descriptor_) != 0) {
      fail("flush", path_, errno);
    }
    if (::close(std::exchange(descriptor_, -1)) != 0) {
      fail("close", path_, errno);
    }
    if (::rename(path_.c_str(), target.c_str()) != 0) {
      fail("replace", target, errno);
    }
    renamed_ = true;
  }

 private:
  fs::path path_;
  int descriptor_ = -1;
  bool renamed_ = false;
};

// Without this a rename may still be lost with the power.
void flush_folder(const fs::path& file) {
  const auto folder =
      file.has_parent_path() ? file.parent_path() : fs::path(".");
  const int descriptor =
      ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) {
    return;  // a folder that may be written but not read: nothing to be done
  }
  const int result = ::fsync(descriptor);
  const int error_number = errno;
  ::close(descriptor);
  // EINVAL: a file system whose folders cannot be flushed.
  if (result != 0 && error_number != EINVAL) {
    fail("flush the folder of", file, error_number);
  }
}

// ---- archives ----

struct Copy {
  torch::Tensor target;
  torch::Tensor source;
};

/// Walks the module and the archive side by side.
class Comparison {
 public:
  void walk(
      torch::nn::Module& module,
      torch::serialize::InputArchive& archive,
      const std::string& prefix) {
    std::vector<std::string> known;
    for (const auto& item : module.named_parameters(/*recurse=*/false)) {
      known.push_back(item.key());
      tensor("parameter", prefix, item.key(), item.value(), archive);
    }
    for (const auto& item : module.named_buffers(/*recurse=*/false)) {
      known.push_back(item.key());
      tensor("buffer", prefix, item.key(), item.value(), archive);
    }
    for (const auto& item : module.named_children()) {
      if (!item.value()->is_serializable()) {
        continue;
      }
      known.push_back(item.key());
      child(prefix, item.key(), *item.value(), archive);
    }
    for (const auto& key : archive.keys()) {
      if (std::find(known.begin(), known.end(), key) == known.end()) {
        difference.unexpected(prefix + key);
      }
    }
  }

  detail::StateDifference difference;
  std::vector<Copy> copies;

 private:
  void tensor(
      const char* kind,
      const std::string& prefix,
      const std::string& key,
      const torch::Tensor& target,
      torch::serialize::InputArchive& archive) {
    torch::Tensor source;
    if (!target.defined()) {
      return;
    }
    if (!archive.try_read(key, source)) {
      difference.missing(prefix + key);
    } else if (
        source.sizes() != target.sizes() ||
        source.scalar_type() != target.scalar_type()) {
      difference.unlike(
          kind,
          prefix + key,
          detail::tensor_text(target),
          detail::tensor_text(source));
    } else {
      copies.push_back({target, source});
    }
  }

  void child(
      const std::string& prefix,
      const std::string& key,
      torch::nn::Module& module,
      torch::serialize::InputArchive& archive) {
    torch::serialize::InputArchive nested;
    if (archive.try_read(key, nested)) {
      walk(module, nested, prefix + key + ".");
      return;
    }
    for (const auto& item : module.named_parameters()) {
      difference.missing(prefix + key + "." + item.key());
    }
    for (const auto& item : module.named_buffers()) {
      difference.missing(prefix + key + "." + item.key());
    }
  }
};

}  // namespace

void save_atomically(
    const fs::path& path,
    const std::function<void(const ByteSink& sink)>& write) {
  struct stat old {};
  const bool replaces = ::stat(path.c_str(), &old) == 0;
  TORCH_CHECK_VALUE(
      !replaces || S_ISREG(old.st_mode),
      "save_atomically: expected a regular file or a new name, got '",
      path.string(),
      "', which is ",
      S_ISDIR(old.st_mode) ? "a folder" : "a special file");

  std::error_code error;
  const auto target =
      fs::is_symlink(path) ? fs::weakly_canonical(path, error) : path;
  if (error) {
    fail("follow", path, error.value());
  }
  TemporaryFile file(target, replaces ? old.st_mode & 07777U : 0U);
  write([&file](const void* data, std::size_t size) {
    file.write(static_cast<const char*>(data), size);
    return size;
  });
  file.rename_to(target);
  flush_folder(target);
}

void save_atomically(
    const fs::path& path, torch::serialize::OutputArchive& archive) {
  save_atomically(
      path, [&archive](const ByteSink& sink) { archive.save_to(sink); });
}

void load_checked(
    torch::nn::Module& module, torch::serialize::InputArchive& archive) {
  Comparison comparison;
  comparison.walk(module, archive, "");
  comparison.difference.check("load_checked");

  const at::NoGradGuard no_grad;
  for (const auto& [target, source] : comparison.copies) {
    torch::Tensor(target).copy_(source);
  }
}

}  // namespace gatedpaths
