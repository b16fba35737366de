// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/space_layout.hpp>

#include <memory>
#include <string>
#include <string_view>

namespace gatedpaths {

/// The structure of a space as JSON, for other tools and for later: what
/// `space_from_json` reads.
///
/// ```
/// {
///   "format": "gatedpaths space 1",
///   "hash": "0x4c1d9a3f72be0568",
///   "size": 9,
///   "gates": [
///     {
///       "name": "stem",
///       "branches": ["conv3", "conv5", "skip"],
///       "min_open": 1,
///       "max_open": 1,
///       "inside": []
///     },
///     ...
///   ]
/// }
/// ```
///
/// `hash` is `PathSpace::hash`, in hexadecimal. `size` is the number of paths;
/// null where it needs more than 64 bits or a gate has several places. `inside`
/// names the branches that a gate lies in, as `{"gate": "stem", "branch":
/// "conv5"}`; of these it is reached where any is open.
///
/// Throws: `c10::ValueError` for a null `layout`, or a name that is not UTF-8.
GATEDPATHS_EXPORT std::string space_to_json(
    const std::shared_ptr<const SpaceLayout>& layout);

/// The structure that `space_to_json` wrote, or another tool; the order of the
/// gates and branches is that of the numbers. `hash` and `size` are held
/// against the gates where they are there; a tool that makes a space leaves
/// them out.
///
/// Throws: `c10::ValueError` for a text of another form, gates that are no
/// space (see `SpaceLayout`), or another hash or size than theirs.
GATEDPATHS_EXPORT std::shared_ptr<const SpaceLayout> space_from_json(
    std::string_view text);

/// A path as JSON, by names: what `path_from_json` reads.
///
/// ```
/// {
///   "format": "gatedpaths path 1",
///   "space": "0x4c1d9a3f72be0568",
///   "path": "stem=conv5;cell=skip",
///   "open": {"stem": ["conv5"], "cell": ["skip"]}
/// }
/// ```
///
/// `path` is the text that `PathSpace::parse` takes, `open` says the same gate
/// by gate, of those that are reached.
///
/// Throws: `c10::ValueError` for a null `layout`, a path of another space, or a
/// name that is not UTF-8.
GATEDPATHS_EXPORT std::string path_to_json(
    const std::shared_ptr<const SpaceLayout>& layout, const Path& path);

/// The path that `path_to_json` wrote, or another tool, which may leave out
/// `space`, and one of `path` and `open`.
///
/// Throws: `c10::ValueError` for a null `layout`, a text of another form, one
/// of another space, neither or two unlike paths; and as `PathSpace::parse`.
///
/// Example:
/// ```
/// auto text = gatedpaths::path_to_json(space, best.path);
/// space.apply(gatedpaths::path_from_json(space, text));
/// ```
GATEDPATHS_EXPORT Path path_from_json(
    const std::shared_ptr<const SpaceLayout>& layout, std::string_view text);

}  // namespace gatedpaths
