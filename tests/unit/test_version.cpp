// SPDX-License-Identifier: MIT
#include <gatedpaths/version.hpp>

#include "support/catch.hpp"

#include <string>

TEST_CASE("version: header, library and package agree", "[version]") {
  const std::string header = std::to_string(GATEDPATHS_VERSION_MAJOR) + "." +
                             std::to_string(GATEDPATHS_VERSION_MINOR) + "." +
                             std::to_string(GATEDPATHS_VERSION_PATCH);
  CHECK(gatedpaths::version() == header);
  CHECK(header == GATEDPATHS_PACKAGE_VERSION);
}

TEST_CASE("version: the number orders releases", "[version]") {
  STATIC_REQUIRE(
      GATEDPATHS_VERSION == GATEDPATHS_VERSION_MAJOR * 10000 +
                                GATEDPATHS_VERSION_MINOR * 100 +
                                GATEDPATHS_VERSION_PATCH);
}
