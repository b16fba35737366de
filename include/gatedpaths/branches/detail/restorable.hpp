// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <cstdint>
#include <memory>

namespace gatedpaths::detail {

/// The state of one `Restorable`, which it puts back when it goes.
class GATEDPATHS_EXPORT KeptState {
 public:
  KeptState() = default;
  KeptState(const KeptState&) = delete;
  KeptState& operator=(const KeptState&) = delete;
  virtual ~KeptState();
};

/// What forwards change in a module beside its buffers, for `KeptModule` to put
/// back.
///
/// It is inherited virtually, so that a module which is one in two ways is
/// still found as one; such a module overrides `keep` to keep both.
class GATEDPATHS_EXPORT Restorable {
 public:
  virtual ~Restorable();

  /// How many were made in this thread, less those that went in it: of use as a
  /// difference, which says how many a call has left behind.
  static int64_t num_living() noexcept;

 protected:
  Restorable() noexcept;
  Restorable(const Restorable& other) noexcept;
  Restorable(Restorable&& other) noexcept;
  Restorable& operator=(const Restorable&) = default;
  Restorable& operator=(Restorable&&) = default;

  /// The state as it is now. The module outlives what is returned.
  virtual std::unique_ptr<KeptState> keep() = 0;

 private:
  friend class KeptModule;
};

}  // namespace gatedpaths::detail
