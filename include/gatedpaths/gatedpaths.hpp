// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Everything public, except what lies in `distributed/`.

/// \namespace gatedpaths
/// All that is public. What is in `gatedpaths::detail` may change at any time.

/// \dir gatedpaths/branches
/// A module as a branch: which types it may have, and the shape of what it
/// returns, for the time when it does not run.

/// \dir gatedpaths/slots
/// The open outputs of a concatenation with their positions, and the layers
/// that take them and touch the weights of the open ones alone.

/// \dir gatedpaths/gates
/// Branches that are switched on and off, for a whole batch or for each sample.

/// \dir gatedpaths/depth
/// Layers and residual branches that are dropped at random while training.

/// \dir gatedpaths/paths
/// Which branches of a network are open: its space of paths, and samplers that
/// draw one for each step.

/// \dir gatedpaths/exchange
/// What goes to files and other forms of a network, and comes back.

/// \dir gatedpaths/training
/// What a training loop needs: the optimizer's step, batch norm, schedules.

/// \dir gatedpaths/learning
/// A distribution over paths that is learned: logits, estimators, losses.

/// \dir gatedpaths/search
/// What a search needs to know of paths: how good they are. What paths cost,
/// and those that keep a budget: counted, and drawn from. Strategies that ask
/// for paths.

#include <gatedpaths/branches/any_branch.hpp>
#include <gatedpaths/branches/named_branch.hpp>
#include <gatedpaths/branches/network_ref.hpp>
#include <gatedpaths/branches/output_shape.hpp>
#include <gatedpaths/branches/shape_state.hpp>
#include <gatedpaths/depth/depth_rates.hpp>
#include <gatedpaths/depth/drop_mode.hpp>
#include <gatedpaths/depth/layer_drop.hpp>
#include <gatedpaths/depth/stochastic_depth.hpp>
#include <gatedpaths/exchange/checkpoint.hpp>
#include <gatedpaths/exchange/dense_state.hpp>
#include <gatedpaths/exchange/derive.hpp>
#include <gatedpaths/exchange/reset_weights.hpp>
#include <gatedpaths/exchange/safetensors.hpp>
#include <gatedpaths/exchange/space_json.hpp>
#include <gatedpaths/exchange/space_picture.hpp>
#include <gatedpaths/exchange/torch_script.hpp>
#include <gatedpaths/gates/branch_weighting.hpp>
#include <gatedpaths/gates/branched_module.hpp>
#include <gatedpaths/gates/choice_block.hpp>
#include <gatedpaths/gates/closed_branch_options.hpp>
#include <gatedpaths/gates/concat_gate.hpp>
#include <gatedpaths/gates/draw_state.hpp>
#include <gatedpaths/gates/draw_states.hpp>
#include <gatedpaths/gates/gate_head.hpp>
#include <gatedpaths/gates/gated_branch.hpp>
#include <gatedpaths/gates/gated_branch_base.hpp>
#include <gatedpaths/gates/gated_module.hpp>
#include <gatedpaths/gates/sample_capacity.hpp>
#include <gatedpaths/gates/sample_gated_module.hpp>
#include <gatedpaths/gates/skip.hpp>
#include <gatedpaths/gates/stream_seed.hpp>
#include <gatedpaths/learning/gumbel_estimator.hpp>
#include <gatedpaths/learning/mixture_estimator.hpp>
#include <gatedpaths/learning/path_estimator.hpp>
#include <gatedpaths/learning/path_logits.hpp>
#include <gatedpaths/learning/path_losses.hpp>
#include <gatedpaths/learning/reinforce_estimator.hpp>
#include <gatedpaths/learning/two_path_estimator.hpp>
#include <gatedpaths/paths/bernoulli_sampler.hpp>
#include <gatedpaths/paths/fair_sampler.hpp>
#include <gatedpaths/paths/fixed_sampler.hpp>
#include <gatedpaths/paths/gate_values.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/paths/sampler.hpp>
#include <gatedpaths/paths/sandwich_sampler.hpp>
#include <gatedpaths/paths/space_layout.hpp>
#include <gatedpaths/paths/uniform_sampler.hpp>
#include <gatedpaths/paths/weighted_sampler.hpp>
#include <gatedpaths/search/budget.hpp>
#include <gatedpaths/search/budget_sampler.hpp>
#include <gatedpaths/search/cost_model.hpp>
#include <gatedpaths/search/cost_notes.hpp>
#include <gatedpaths/search/cost_options.hpp>
#include <gatedpaths/search/count_convention.hpp>
#include <gatedpaths/search/counted_space.hpp>
#include <gatedpaths/search/evaluate.hpp>
#include <gatedpaths/search/evaluation.hpp>
#include <gatedpaths/search/history_pictures.hpp>
#include <gatedpaths/search/local_search.hpp>
#include <gatedpaths/search/nsga2.hpp>
#include <gatedpaths/search/operation_counter.hpp>
#include <gatedpaths/search/path_cost.hpp>
#include <gatedpaths/search/path_metric.hpp>
#include <gatedpaths/search/plot.hpp>
#include <gatedpaths/search/predictor_search.hpp>
#include <gatedpaths/search/random_search.hpp>
#include <gatedpaths/search/rank_correlation.hpp>
#include <gatedpaths/search/regularized_evolution.hpp>
#include <gatedpaths/search/search_history.hpp>
#include <gatedpaths/search/search_options.hpp>
#include <gatedpaths/search/search_strategy.hpp>
#include <gatedpaths/search/stage.hpp>
#include <gatedpaths/search/successive_halving.hpp>
#include <gatedpaths/search/zero_cost.hpp>
#include <gatedpaths/slots/slot_batch_norm.hpp>
#include <gatedpaths/slots/slot_consumer.hpp>
#include <gatedpaths/slots/slot_conv.hpp>
#include <gatedpaths/slots/slot_linear.hpp>
#include <gatedpaths/slots/slot_map.hpp>
#include <gatedpaths/slots/slots.hpp>
#include <gatedpaths/training/check_trainable.hpp>
#include <gatedpaths/training/open_optimizer.hpp>
#include <gatedpaths/training/recalibrate_batch_norm.hpp>
#include <gatedpaths/training/schedule.hpp>
#include <gatedpaths/version.hpp>
