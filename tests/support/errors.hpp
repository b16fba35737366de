// SPDX-License-Identifier: MIT
// The text of an error, with its type.
#pragma once

#include <c10/util/Exception.h>

#include <string>

namespace gatedpaths::test {

/// The message of the `Error` that `action` throws, without the backtrace. An
/// error of another type goes on; without any, the text says so.
template <class Error, class Action>
std::string message_of(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what_without_backtrace();
  }
  return "(no error)";
}

}  // namespace gatedpaths::test
