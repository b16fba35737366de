// SPDX-License-Identifier: MIT
#include "file_lock.hpp"

#include "checksum.hpp"
#include "link_target.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace cifar10 {
namespace {

namespace fs = std::filesystem;

/// Not longer with the file's name, which may be as long as names can be.
fs::path lock_of(const fs::path& file) {
  const auto target = link_target(file);
  const auto name = target.filename().string();
  Fnv1a hash;
  hash.add(name.data(), name.size());
  return folder_of(target) / fmt::format(".cifar10-{}.lock", hash.text());
}

struct flock whole_file() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

/// The process that has it; empty where none has by now.
std::string holder_of(int descriptor) {
  auto lock = whole_file();
  if (::fcntl(descriptor, F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) {
    return "";
  }
  return lock.l_pid > 0 ? fmt::format("process {}", lock.l_pid)
                        : "a process of another machine or container";
}

}  // namespace

FileLock::FileLock(std::string flag, const fs::path& file)
    : flag_(std::move(flag)), file_(file), lock_(lock_of(file)) {
  acquire();
}

FileLock::~FileLock() {
  if (descriptor_ >= 0) {
    // While it is locked: who opens it before this sees that it has gone.
    if (is_in_place(descriptor_)) {
      ::unlink(lock_.c_str());
    }
    ::close(descriptor_);
  }
}

void FileLock::renew() {
  if (works_ && !is_in_place(descriptor_)) {
    ::close(std::exchange(descriptor_, -1));
    acquire();
  }
}

// Locks of this kind belong to a process, which the system names to others.
void FileLock::acquire() {
  while (true) {
    const int descriptor =
        ::open(lock_.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    TORCH_CHECK(
        descriptor >= 0,
        flag_,
        ": expected a folder where files can be made, got '",
        lock_.parent_path().string(),
        "': ",
        std::strerror(errno));
    ::fchmod(descriptor, 0666);  // another user may come after a killed run
    auto lock = whole_file();
    const int error = ::fcntl(descriptor, F_SETLK, &lock) == 0 ? 0 : errno;
    if (error == 0 && is_in_place(descriptor)) {
      descriptor_ = descriptor;
      return;
    }
    const bool is_held = error == EACCES || error == EAGAIN;
    const auto holder = is_held ? holder_of(descriptor) : "";
    ::close(descriptor);
    TORCH_CHECK_VALUE(
        holder.empty(),
        flag_,
        ": expected a file that no other run writes, got '",
        file_.string(),
        "', which ",
        holder,
        " writes; wait until that ends or stop it, or name another file");
    if (error != 0 && !is_held) {
      ::unlink(lock_.c_str());
      works_ = false;
      return;
    }
  }
}

bool FileLock::is_in_place(int descriptor) const {
  struct stat open {};
  struct stat named {};
  return ::fstat(descriptor, &open) == 0 &&
         ::stat(lock_.c_str(), &named) == 0 && open.st_dev == named.st_dev &&
         open.st_ino == named.st_ino;
}

}  // namespace cifar10
