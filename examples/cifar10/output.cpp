// SPDX-License-Identifier: MIT
#include "output.hpp"

#include <cerrno>
#include <cstring>

namespace cifar10 {

void write_out(std::FILE* out, std::string_view text) {
  const bool failed_before = std::ferror(out) != 0;
  errno = 0;
  const bool written =
      std::fwrite(text.data(), 1, text.size(), out) == text.size();
  const bool flushed = std::fflush(out) == 0;
  if (!failed_before && !(written && flushed)) {
    std::fprintf(
        stderr, "cifar10: cannot write the output: %s\n", std::strerror(errno));
  }
}

}  // namespace cifar10
