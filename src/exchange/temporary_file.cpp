// SPDX-License-Identifier: MIT
#include "temporary_file.hpp"

#include "../text/fnv1a.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

namespace gatedpaths::detail {
namespace {

namespace fs = std::filesystem;

fs::path folder_of(const fs::path& file) {
  return file.has_parent_path() ? file.parent_path() : fs::path(".");
}

std::string temporary_prefix(const fs::path& target) {
  return fmt::format(
      ".gatedpaths-{:016x}-", Fnv1a().add(target.filename().string()).value());
}

// Of no other file that this process makes beside the target.
fs::path new_name(const fs::path& target) {
  static std::atomic<unsigned> counter{0};
  const std::string name = fmt::format(
      "{}{}-{}", temporary_prefix(target), ::getpid(), counter.fetch_add(1));
  return target.has_parent_path() ? target.parent_path() / name
                                  : fs::path(name);
}

// Where the folder may not be read, or a file is gone meanwhile, there is
// nothing to be done.
void remove_left_over(const fs::path& target) {
  const std::string prefix = temporary_prefix(target);
  std::error_code error;
  fs::directory_iterator entry(folder_of(target), error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const fs::path& path = entry->path();
    if (!path.filename().string().starts_with(prefix)) {
      continue;
    }
    const int descriptor =
        ::open(path.c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (descriptor < 0) {
      continue;
    }
    if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) {
      ::unlink(path.c_str());
    }
    ::close(descriptor);
  }
}

// Without this a rename may still be lost with the power.
int flush_folder(const fs::path& file) {
  const int descriptor =
      ::open(folder_of(file).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) {
    return 0;  // a folder that may be written but not read
  }
  const int error_number = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  // EINVAL: a file system whose folders cannot be flushed.
  return error_number == EINVAL ? 0 : error_number;
}

// The file that stands where another one is to go: kept by a second name, and
// locked, so that no other process takes that for left over.
class OldFile {
 public:
  OldFile(const fs::path& target, fs::path second_name)
      : target_(target), second_name_(std::move(second_name)) {
    struct stat status {};
    is_there_ = ::stat(target_.c_str(), &status) == 0;
    if (!is_there_) {
      return;
    }
    descriptor_ = ::open(target_.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor_ >= 0) {
      ::flock(descriptor_, LOCK_EX | LOCK_NB);
    }
    is_kept_ = ::link(target_.c_str(), second_name_.c_str()) == 0;
  }
  OldFile(const OldFile&) = delete;
  OldFile& operator=(const OldFile&) = delete;
  ~OldFile() {
    if (is_kept_) {
      ::unlink(second_name_.c_str());
    }
    if (descriptor_ >= 0) {
      ::close(descriptor_);
    }
  }

  /// Also where there was none. A file system without hard links has no second
  /// name to go back to: the new file stays then, whole.
  void put_back() {
    if (is_kept_) {
      is_kept_ = ::rename(second_name_.c_str(), target_.c_str()) != 0;
    } else if (!is_there_) {
      ::unlink(target_.c_str());
    }
  }

 private:
  const fs::path& target_;
  fs::path second_name_;
  int descriptor_ = -1;
  bool is_there_ = false;
  bool is_kept_ = false;
};

}  // namespace

void fail_to_save(
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

TemporaryFile::TemporaryFile(const fs::path& target, mode_t mode)
    : target_(target) {
  remove_left_over(target);
  while (!create(mode)) {
  }
}

TemporaryFile::~TemporaryFile() {
  if (!renamed_) {
    ::unlink(path_.c_str());
  }
  if (descriptor_ >= 0) {
    ::close(descriptor_);
  }
}

// False where the name was taken: by another file, or by whoever took this one
// for left over before it was locked.
bool TemporaryFile::create(mode_t mode) {
  path_ = new_name(target_);
  descriptor_ =
      ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0) {
    if (errno == EEXIST) {
      return false;
    }
    fail_to_save("create a file beside", target_, errno);
  }
  // Where there are no locks, no other process can take it for left over.
  ::flock(descriptor_, LOCK_EX | LOCK_NB);
  struct stat status {};
  if (::fstat(descriptor_, &status) == 0 && status.st_nlink == 0) {
    ::close(std::exchange(descriptor_, -1));
    return false;
  }
  if (mode != 0) {
    ::fchmod(descriptor_, mode);  // where it fails, the default mode is fine
  }
  return true;
}

void TemporaryFile::write(const char* data, std::size_t size) noexcept {
  while (size > 0 && write_error_ == 0) {
    const auto written = ::write(descriptor_, data, size);
    if (written < 0) {
      write_error_ = errno == EINTR ? 0 : errno;
      continue;
    }
    if (written == 0) {
      write_error_ =
          EIO;  // or a full device that says nothing would be asked for ever
    }
    data += written;
    size -= static_cast<std::size_t>(written);
  }
}

void TemporaryFile::rename_to_target() {
  if (write_error_ != 0) {
    fail_to_save("write", target_, write_error_);
  }
  if (::fsync(descriptor_) != 0) {
    fail_to_save("flush", target_, errno);
  }
  OldFile old(target_, new_name(target_));
  if (::rename(path_.c_str(), target_.c_str()) != 0) {
    fail_to_save("replace", target_, errno);
  }
  renamed_ = true;
  const int error_number = flush_folder(target_);
  if (error_number != 0) {
    old.put_back();
    fail_to_save("flush the folder of", target_, error_number);
  }
}

}  // namespace gatedpaths::detail
