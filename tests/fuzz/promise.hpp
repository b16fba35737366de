// SPDX-License-Identifier: MIT
// What harnesses say of readers.
#pragma once

#include <c10/util/Exception.h>

#include <stdexcept>
#include <string>
#include <string_view>

namespace gatedpaths::fuzz {

/// Throws where a promise does not hold. No harness catches this type.
inline void require(bool holds, const std::string& promise) {
  if (!holds) {
    throw std::logic_error("broken promise: " + promise);
  }
}

/// Whether `read` throws the error that is documented for it, with a message
/// that starts so. Every other exception goes on, and so is a find.
template <class Error, class Read>
bool is_refused(std::string_view start, const Read& read) {
  try {
    read();
    return false;
  } catch (const Error& error) {
    const std::string message = error.what_without_backtrace();
    require(
        message.starts_with(start),
        "a message that says whose it is, got: " + message);
    return true;
  }
}

}  // namespace gatedpaths::fuzz
