// SPDX-License-Identifier: MIT
#include "input_file.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

namespace gatedpaths::detail {
namespace {

// As much as the system takes at once.
constexpr uint64_t kMostReadBytes = uint64_t{1} << 30;

}  // namespace

InputFile::InputFile(std::string_view function, std::filesystem::path path)
    : function_(function), path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  TORCH_CHECK(
      descriptor_ >= 0,
      label(),
      ": cannot open it: ",
      std::generic_category().message(errno));
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor_);
    TORCH_CHECK_VALUE(
        false,
        label(),
        ": expected a regular file, got ",
        S_ISDIR(status.st_mode) ? "a folder" : "a special file");
  }
  size_ = static_cast<uint64_t>(status.st_size);
}

InputFile::~InputFile() { ::close(descriptor_); }

void InputFile::read(void* target, uint64_t size, uint64_t offset) const {
  auto* to = static_cast<char*>(target);
  while (size > 0) {
    const auto count = ::pread(
        descriptor_,
        to,
        std::min(size, kMostReadBytes),
        static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) {
      continue;
    }
    TORCH_CHECK(
        count > 0,
        label(),
        ": cannot read ",
        size,
        " bytes from byte ",
        offset,
        " on: ",
        count == 0 ? "the file ends there"
                   : std::generic_category().message(errno));
    to += count;
    offset += static_cast<uint64_t>(count);
    size -= static_cast<uint64_t>(count);
  }
}

std::string InputFile::read_all() const {
  std::string text(size_, '\0');
  read(text.data(), size_, 0);
  return text;
}

std::string InputFile::label() const {
  return fmt::format("{}: '{}'", function_, path_.string());
}

}  // namespace gatedpaths::detail
