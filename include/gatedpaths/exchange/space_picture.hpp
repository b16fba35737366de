// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/space_layout.hpp>

#include <torch/arg.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace gatedpaths {

/// What a picture says of a branch, besides its name.
struct BranchNote {
  std::string text{};  ///< Stands below the name; empty for nothing.
  /// Drawn as a bar in the branch's box, as long in relation to the box as this
  /// is to the largest of the picture. At least 0; 0 for no bar.
  double weight = 0;
};

/// Gives the note of a branch, by the numbers of its gate and of the branch in
/// it: a cost (`cost_notes`), a probability, a count.
using BranchNotes = std::function<BranchNote(int64_t gate, int64_t branch)>;

/// Options of `space_svg` and `space_dot`.
class SpacePictureOptions {
 public:
  /// The path that is shown: its open branches are filled, and gates that it
  /// does not reach are pale. Default: none, the space alone.
  TORCH_ARG(std::optional<Path>, path);

  /// What stands in each branch's box. Default: its name alone.
  TORCH_ARG(BranchNotes, notes);

  /// The first line. Default: how many gates and paths there are.
  TORCH_ARG(std::string, title);
};

/// A picture of a space, and of a path in it, as an SVG document: a row for
/// each gate, in order, with its name, how many of its branches are open, and a
/// box for each branch. A gate that lies in branches of others is indented
/// below them, and says in which.
///
/// It is as wide as a page and grows downward, so that dozens of gates stay
/// readable, and is the same text on every machine. It needs no other file; the
/// letters are those of a monospaced font that the reader has.
///
/// Throws: `c10::ValueError` for a null `layout`, a path of another space, a
/// note whose weight is below 0 or not finite, or a name, note or title that is
/// not UTF-8.
///
/// Example, the path that was found, and what its branches cost:
/// ```
/// std::ofstream("space.svg") << gatedpaths::space_svg(
///     space,
///     gatedpaths::SpacePictureOptions().path(best.path).notes(
///         gatedpaths::cost_notes(cost, gatedpaths::CostKind::kMacs)));
/// ```
GATEDPATHS_EXPORT std::string space_svg(
    const std::shared_ptr<const SpaceLayout>& layout,
    const SpacePictureOptions& options = {});

/// The same as a graph in the DOT language, for Graphviz: a node for each gate,
/// and an arrow from each branch to the gates inside of it. The bars are left
/// out.
///
/// Throws: as `space_svg`.
///
/// Example: `dot -Tpdf space.dot -o space.pdf`.
GATEDPATHS_EXPORT std::string space_dot(
    const std::shared_ptr<const SpaceLayout>& layout,
    const SpacePictureOptions& options = {});

}  // namespace gatedpaths
