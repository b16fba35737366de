// SPDX-License-Identifier: MIT
// Tables in which all nets of a space were trained, as searches see them.
#pragma once

#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/space_layout.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace bench {

/// What a table holds of one net, in percent.
struct NetValues {
  double told = 0;      ///< What a strategy is told.
  double reported = 0;  ///< By which the net that it found is judged.
};

/// A space of which each path's values are known.
class Tabular {
 public:
  /// `values` are those of the paths in the order of the space, of gates of
  /// which all have `choices` branches and one of them open.
  Tabular(
      std::string name,
      std::string told,
      std::string reported,
      std::shared_ptr<const gatedpaths::SpaceLayout> layout,
      std::int64_t choices,
      std::vector<NetValues> values);

  /// For files and tables: `"nas_bench_macro"`.
  const std::string& name() const& noexcept { return name_; }
  /// What `NetValues` are, in words.
  const std::string& told() const& noexcept { return told_; }
  /// \overload
  const std::string& reported() const& noexcept { return reported_; }

  const std::shared_ptr<const gatedpaths::SpaceLayout>& layout()
      const& noexcept {
    return layout_;
  }

  /// The values of a path.
  const NetValues& at(const gatedpaths::Path& path) const&;

  /// The best value that is reported of any path.
  double optimum() const noexcept { return optimum_; }

 private:
  std::string name_;
  std::string told_;
  std::string reported_;
  std::shared_ptr<const gatedpaths::SpaceLayout> layout_;
  std::int64_t choices_;
  std::vector<NetValues> values_;
  double optimum_;
};

/// NAS-Bench-Macro. It has three trainings, all measured on the test images,
/// and nothing else: a strategy is told the first one's accuracy, and the mean
/// of the two others is reported.
///
/// Throws: `c10::Error` for a table that cannot be read, or one whose order is
/// not the space's.
Tabular nas_bench_macro_tabular(const std::filesystem::path& file);

/// NAS-Bench-201 on CIFAR-10. A strategy is told the accuracy on the validation
/// images, that on the test images is reported.
///
/// Throws: as above.
Tabular nas_bench_201_tabular(const std::filesystem::path& file);

}  // namespace bench
