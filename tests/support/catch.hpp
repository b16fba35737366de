// SPDX-License-Identifier: MIT
// The one place where tests get Catch2 from. LibTorch's headers define a CHECK
// that aborts the process; Catch2 has to come after them to be the one in use.
#pragma once

#include <torch/torch.h>

#undef CHECK
#undef CHECK_NOTHROW
#undef CHECK_THROWS

#include <catch2/catch_approx.hpp>
#include <catch2/catch_message.hpp>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_predicate.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <catch2/matchers/catch_matchers_vector.hpp>
