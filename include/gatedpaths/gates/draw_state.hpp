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
/// integers are all that has to be saved to go on exactly. States are equal
/// where these two are; equal states of unlike drawers are different streams
/// (see `stream_seed`).
struct GATEDPATHS_EXPORT DrawState {
  uint64_t seed = 0;  ///< Names the stream.
  uint64_t step = 0;  ///< How many draws were made; the number of the next one.
  /// A hash of what the draws depend on beside seed and step, by which a
  /// sampler or an estimator knows a state of another one, or of other
  /// parameters; 0 where that is not known, as in a state that you write
  /// yourself.
  uint64_t source = 0;

  /// Whether seed and step are the same.
  bool operator==(const DrawState& other) const noexcept {
    return seed == other.seed && step == other.step;
  }

  /// The number of the next draw; goes one step on.
  ///
  /// Throws: `c10::Error` at step 2^64 - 1, which no step follows; the state is
  /// then as it was.
  uint64_t take_step();

  /// Throws the `c10::ValueError` of `method` for the state of another source
  /// than this one's, where both are known.
  void check_source(std::string_view method, const DrawState& other) const;
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
