// SPDX-License-Identifier: MIT
#include <gatedpaths/gates/skip.hpp>

#include <sstream>

#include "support/catch.hpp"

using gatedpaths::ClosedValue;
using gatedpaths::Skip;

TEST_CASE("Skip: prints its name", "[skip][print]") {
  CHECK(to_string(Skip::kZeroFill) == "kZeroFill");
  CHECK(to_string(Skip::kNoGrad) == "kNoGrad");
  CHECK(to_string(ClosedValue::kZeros) == "kZeros");
  CHECK(to_string(ClosedValue::kDetached) == "kDetached");
  std::ostringstream stream;
  stream << Skip::kNoGrad << " " << ClosedValue::kDetached;
  CHECK(stream.str() == "kNoGrad kDetached");
}
