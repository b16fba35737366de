// SPDX-License-Identifier: MIT
// What a picture of a space shows, whatever it is drawn with. Not installed.
#pragma once

#include <gatedpaths/exchange/space_picture.hpp>
#include <gatedpaths/paths/space_layout.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gatedpaths::detail {

/// One branch in its box. The texts are ready for XML.
struct BranchBox {
  std::string name{};
  std::string note{};    ///< Empty where there is none.
  double bar = 0;        ///< In [0, 1], of the box.
  bool is_open = false;  ///< In the path that is shown.
};

/// One gate and its branches.
struct GateRow {
  std::string name{};
  std::string bounds{};  ///< `1 of 3`, `0 to 2 of 3`.
  std::string inside{};  ///< `in conv3`; empty where it is always reached.
  int64_t depth = 0;     ///< In how many others it lies.
  bool is_reached = true;
  std::vector<GatePlace> places{};
  std::vector<BranchBox> boxes{};
};

/// All of a picture.
struct SpaceRows {
  std::string title{};
  std::string hash{};
  bool has_path = false;
  bool has_notes = false;
  std::vector<GateRow> gates{};
};

/// Throws in the name of `where`, as `space_svg` says.
SpaceRows space_rows(
    std::string_view where,
    const SpaceLayout* layout,
    const SpacePictureOptions& options);

}  // namespace gatedpaths::detail
