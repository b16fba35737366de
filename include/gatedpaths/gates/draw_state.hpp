// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>

#include <cstdint>
#include <functional>
#include <string_view>

namespace gatedpaths {

/// Where something that draws stands in its random stream: a sampler, an
/// estimator, a gate that draws by itself, a head.
///
/// The n-th draw depends on `seed`, `step` and what draws alone, so these two
/// integers are all that has to be saved to go on exactly. Equal states of
/// unlike drawers are different streams (see `stream_seed`).
struct DrawState {
  uint64_t seed = 0;  ///< Names the stream.
  uint64_t step = 0;  ///< How many draws were made; the number of the next one.

  bool operator==(const DrawState&) const = default;
};

/// A module that draws from streams of its own, for `draw_states` to find:
/// every gate, every `GateHead`, and any module of yours that derives from it.
///
/// It is inherited virtually; a module that is one in two ways visits the
/// streams of both.
///
/// Example:
/// ```
/// struct NoiseImpl : torch::nn::Module, virtual gatedpaths::Drawer {
///   void visit_draws(const DrawVisitor& visit) override {
///     visit("noise", state);
///   }
///   gatedpaths::DrawState state{7, 0};
/// };
/// ```
class GATEDPATHS_EXPORT Drawer {
 public:
  /// Takes what kind of draw a stream is for, and where it stands.
  using DrawVisitor =
      std::function<void(std::string_view kind, DrawState& state)>;

  virtual ~Drawer();

  /// Calls `visit` for each stream that the module draws from as it is now,
  /// once, each of another kind that is not empty. `visit` may change the
  /// state: the next draw goes on from there.
  virtual void visit_draws(const DrawVisitor& visit) = 0;

 protected:
  Drawer() = default;
  Drawer(const Drawer&) = default;
  Drawer(Drawer&&) = default;
  Drawer& operator=(const Drawer&) = default;
  Drawer& operator=(Drawer&&) = default;
};

}  // namespace gatedpaths
