// SPDX-License-Identifier: MIT
#pragma once

#include <c10/util/Exception.h>

#include <exception>
#include <string>

namespace gatedpaths::detail {

/// What an error says, without LibTorch's backtrace.
inline std::string error_text(const std::exception& error) {
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  return torch_error != nullptr ? torch_error->what_without_backtrace()
                                : error.what();
}

/// The first line of it, for a message that quotes it.
inline std::string first_line(const std::exception& error) {
  const auto text = error_text(error);
  return text.substr(0, text.find('\n'));
}

}  // namespace gatedpaths::detail
