// SPDX-License-Identifier: MIT
// What the values of flags must be.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>

namespace cifar10 {

/// Gives what was expected and what came; nothing where the text is good.
using Check = std::function<std::string(std::string& text)>;

/// A decimal number in these bounds. The text loses leading zeros, with which
/// CLI11 takes it for an octal one.
Check whole_number(
    std::uint64_t least,
    std::uint64_t most = std::numeric_limits<std::int64_t>::max());

/// `wanted` says in words what `good` accepts.
Check number(std::string wanted, std::function<bool(double)> good);

Check either(std::string a, std::string b);

/// A name: an empty text, such as an unset variable of a shell gives, is none.
Check not_empty(std::string wanted);

std::string check_device(const std::string& text);

/// Whether what is written to one is written to the other, also through links,
/// and also where neither is there yet.
bool is_same_file(
    const std::filesystem::path& a, const std::filesystem::path& b);

}  // namespace cifar10
