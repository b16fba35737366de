// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

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

 protected:
  Restorable() = default;
  Restorable(const Restorable&) = default;
  Restorable(Restorable&&) = default;
  Restorable& operator=(const Restorable&) = default;
  Restorable& operator=(Restorable&&) = default;

  /// The state as it is now. The module outlives what is returned.
  virtual std::unique_ptr<KeptState> keep() = 0;

 private:
  friend class KeptModule;
};

}  // namespace gatedpaths::detail
