// SPDX-License-Identifier: MIT
#pragma once

#include <nlohmann/json.hpp>

namespace cifar10 {

/// For what is written: its members stay in order.
using Json = nlohmann::ordered_json;

/// For what is read, which anybody may have written. (An ordered object copies
/// its members as it grows, by a call for each level of brackets in them: more
/// than a stack has room for. For the same reason nothing that is read should
/// be copied, compared or written before it is known to be a text or a number.)
using ReadJson = nlohmann::json;

}  // namespace cifar10
