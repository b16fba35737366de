// SPDX-License-Identifier: MIT
// A file of somebody else's whose names are also internal ones of the library.
#include <gatedpaths/version.hpp>

#include <string>

using namespace gatedpaths;

namespace {

struct Walk {
  std::string text() const { return std::string(version()); }
};

}  // namespace

std::string own_names() { return Walk().text(); }
