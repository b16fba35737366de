// SPDX-License-Identifier: MIT
#include <gatedpaths/src.hpp>
