// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <ATen/core/Generator.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <vector>

namespace gatedpaths::detail {

/// While it lives, the random numbers of this thread come from streams of its
/// own: those that stand where no generator is named, on any device, are left
/// where they are, for this thread and for all others.
///
/// An operator without a generator gets one on its way through the dispatcher,
/// copied when the first number is drawn; what draws nothing costs nothing but
/// the way. Its numbers are those that the default stream gives next.
///
/// This does not reach code that takes the default generator in its own hands
/// without calling an operator: its numbers come from the default stream, which
/// moves on. Neither does it reach the operators of a device that take no
/// generator (CUDA's fused dropout and attention): they find the default
/// generator in the state of the own one, and what another thread draws on that
/// device in the moment in which one of them is launched is lost. While a CUDA
/// graph is captured, an operator that draws throws, since the graph does not
/// know the generator.
///
/// Throws `c10::Error` where more than two copies of this library are in one
/// process.
class GATEDPATHS_EXPORT OwnStreams {
 public:
  OwnStreams();
  ~OwnStreams();
  OwnStreams(const OwnStreams&) = delete;
  OwnStreams& operator=(const OwnStreams&) = delete;

  /// The innermost one of this thread, or null.
  static OwnStreams* innermost();

  /// The generator for what is drawn on `device`.
  at::Generator on(at::Device device);

 private:
  OwnStreams* outer_;
  std::vector<at::Generator> generators_;
  c10::impl::IncludeDispatchKeyGuard on_the_way_;
};

}  // namespace gatedpaths::detail
