// SPDX-License-Identifier: MIT
// Files of any bytes: LibTorch's reader refuses them, or load_checked takes all
// of them or nothing.
#include "harnesses.hpp"
#include "small_module.hpp"

#include <torch/serialize/archive.h>

#include <exception>

namespace gatedpaths::fuzz {

void checkpoint_bytes(Bytes bytes) {
  torch::serialize::InputArchive archive;
  try {
    archive.load_from(
        reinterpret_cast<const char*>(bytes.data()), bytes.size());
  } catch (const std::exception&) {
    return;  // its errors are of many types
  }
  check_load(archive, 0);
}

}  // namespace gatedpaths::fuzz
