// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/export.hpp>
#include <gatedpaths/gates/draw_state.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/space_layout.hpp>

#include <concepts>
#include <cstdint>
#include <memory>
#include <string_view>

namespace gatedpaths {

/// What a training loop needs of a sampler: the path of any step, the next one,
/// and a state to save. Everything derived from `Sampler` has it.
template <class T>
concept PathSampler =
    requires(T& sampler, const T& fixed, uint64_t step, DrawState state) {
      { fixed.at(step) } -> std::convertible_to<Path>;
      { sampler.next() } -> std::convertible_to<Path>;
      { fixed.state() } -> std::convertible_to<DrawState>;
      sampler.set_state(state);
    };

/// The base of samplers: draws one path for each training step.
///
/// The path of a step is a function of the space, the class, the seed and the
/// step, so it is the same whatever was drawn before, in any order, and on any
/// thread or rank. Two samplers of one class and seed draw the same for gates
/// of the same number: for two networks, see `stream_seed`. No generator of
/// random numbers is touched. `at` may be called from
/// many threads at once; `next` and the setters change the sampler.
///
/// A sampler knows the structure of the space only: it goes on working without
/// the network, and its paths fit every network of the same structure.
///
/// To write one, derive, and make `at` a function of its arguments, the seed
/// and the step (`SpaceLayout::make_path` does the rest):
/// ```
/// class Largest : public gatedpaths::Sampler {
///  public:
///   explicit Largest(const gatedpaths::PathSpace& space)
///       : Sampler(space, /*seed=*/0) {}
///   gatedpaths::Path at(uint64_t) const override {
///     return layout().make_path([&](int64_t gate, auto& open) {
///       open.resize(layout().gate(gate).max_open);
///       std::iota(open.begin(), open.end(), 0);
///     });
///   }
/// };
/// ```
class GATEDPATHS_EXPORT Sampler {
 public:
  virtual ~Sampler() = default;

  /// The path of step `step`.
  virtual Path at(uint64_t step) const = 0;

  /// The path of the step that is next, and goes one step on.
  ///
  /// Throws: `c10::Error` at step 2^64 - 1, which no step follows; what `at`
  /// throws. The sampler is then where it was.
  Path next();

  /// Names the stream of random numbers.
  uint64_t seed() const noexcept { return state_.seed; }

  /// The step of the path that `next()` gives; 0 at first.
  uint64_t step() const noexcept { return state_.step; }

  /// Goes on from this step.
  void set_step(uint64_t step) noexcept { state_.step = step; }

  /// Where the sampler stands.
  const DrawState& state() const& noexcept { return state_; }
  /// \overload
  DrawState state() const&& noexcept { return state_; }

  /// Goes on from a saved state, its seed included.
  ///
  /// Throws: `c10::ValueError` for the state of a sampler of another kind, of
  /// other parameters (probabilities, paths, ...) or of another space, or of
  /// something else that draws, where the state knows that
  /// (`DrawState::source`); the sampler is then where it was.
  void set_state(const DrawState& state);

  /// The structure of the space that paths are drawn from.
  const SpaceLayout& layout() const& noexcept { return *layout_; }
  /// Not of a sampler that is about to go, and may be the last to hold it.
  const SpaceLayout& layout() const&& = delete;

 protected:
  /// Throws: `c10::ValueError` for a null `layout`.
  Sampler(std::shared_ptr<const SpaceLayout> layout, uint64_t seed);

  /// Says what the paths depend on beside the space, the seed and the step, so
  /// that states of others are refused: to be called by the constructor. A
  /// sampler that does not call it has states of unknown source.
  ///
  /// `kind`: the class's name. `parameters`: a hash of all others.
  void set_source(std::string_view kind, uint64_t parameters = 0);

  Sampler(const Sampler&) = default;
  Sampler(Sampler&&) = default;
  Sampler& operator=(const Sampler&) = default;
  Sampler& operator=(Sampler&&) = default;

 private:
  std::shared_ptr<const SpaceLayout> layout_;
  DrawState state_;
};

}  // namespace gatedpaths
