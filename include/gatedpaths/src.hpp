// SPDX-License-Identifier: MIT
#pragma once

/// All of the library's compiled code, for projects that neither build nor link
/// the library: include this in exactly one file of a program, which holds
/// nothing else, since whatever is internal to the library is visible in it.
/// Every other file includes what it uses, as ever.
///
///     // gatedpaths.cpp
///     #include <gatedpaths/src.hpp>
///
/// with these lines of CMake; the last one keeps a unity build from putting
/// other files beside it:
///
///     find_package(GatedPaths 0.1 REQUIRED COMPONENTS Source)
///     add_executable(my_search main.cpp gatedpaths.cpp)
///     target_link_libraries(my_search PRIVATE GatedPaths::GatedPathsSource)
///     set_source_files_properties(
///       gatedpaths.cpp PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
///
/// Without that target the macros GATEDPATHS_STATIC_DEFINE and FMT_HEADER_ONLY
/// have to be defined, for every file of the program. A program that includes
/// this twice, or links the library as well, is refused: by CMake, or by the
/// linker with `gatedpaths_src_hpp_is_included_twice_or_beside_the_library`.
/// What goes unnoticed is a shared library, of GatedPaths or with this in it,
/// that only another library of the program links.

#if !defined(GATEDPATHS_STATIC_DEFINE) || !defined(FMT_HEADER_ONLY)
#error \
    "gatedpaths/src.hpp: link GatedPaths::GatedPathsSource in place of GatedPaths::GatedPaths, or define GATEDPATHS_STATIC_DEFINE and FMT_HEADER_ONLY"
#else

extern const int gatedpaths_src_hpp_is_included_twice_or_beside_the_library;
const int gatedpaths_src_hpp_is_included_twice_or_beside_the_library = 0;

#include <gatedpaths/src/branches/any_branch.cpp>
#include <gatedpaths/src/branches/argument_rule.cpp>
#include <gatedpaths/src/branches/branch_checks.cpp>
#include <gatedpaths/src/branches/branch_list.cpp>
#include <gatedpaths/src/branches/branch_reuse.cpp>
#include <gatedpaths/src/branches/branch_state.cpp>
#include <gatedpaths/src/branches/branch_watch.cpp>
#include <gatedpaths/src/branches/clone_module.cpp>
#include <gatedpaths/src/branches/closed_spec.cpp>
#include <gatedpaths/src/branches/hollow.cpp>
#include <gatedpaths/src/branches/input_memory.cpp>
#include <gatedpaths/src/branches/input_signature.cpp>
#include <gatedpaths/src/branches/input_watch.cpp>
#include <gatedpaths/src/branches/kept_module.cpp>
#include <gatedpaths/src/branches/known_output.cpp>
#include <gatedpaths/src/branches/network_ref.cpp>
#include <gatedpaths/src/branches/no_trace.cpp>
#include <gatedpaths/src/branches/operator_watch.cpp>
#include <gatedpaths/src/branches/output_memory.cpp>
#include <gatedpaths/src/branches/output_shape.cpp>
#include <gatedpaths/src/branches/output_spec.cpp>
#include <gatedpaths/src/branches/own_streams.cpp>
#include <gatedpaths/src/branches/restorable.cpp>
#include <gatedpaths/src/branches/sample_gates.cpp>
#include <gatedpaths/src/branches/sample_rows.cpp>
#include <gatedpaths/src/branches/shape_state.cpp>
#include <gatedpaths/src/branches/traced_rows.cpp>
#include <gatedpaths/src/depth/depth_rates.cpp>
#include <gatedpaths/src/depth/drop_convention.cpp>
#include <gatedpaths/src/depth/drop_mode.cpp>
#include <gatedpaths/src/depth/layer_drop.cpp>
#include <gatedpaths/src/depth/stochastic_depth.cpp>
#include <gatedpaths/src/exchange/checkpoint.cpp>
#include <gatedpaths/src/exchange/dense_state.cpp>
#include <gatedpaths/src/exchange/derive.cpp>
#include <gatedpaths/src/exchange/input_file.cpp>
#include <gatedpaths/src/exchange/narrowing.cpp>
#include <gatedpaths/src/exchange/reset_weights.cpp>
#include <gatedpaths/src/exchange/safetensors.cpp>
#include <gatedpaths/src/exchange/safetensors_header.cpp>
#include <gatedpaths/src/exchange/safetensors_index.cpp>
#include <gatedpaths/src/exchange/save_atomically.cpp>
#include <gatedpaths/src/exchange/space_dot.cpp>
#include <gatedpaths/src/exchange/space_json.cpp>
#include <gatedpaths/src/exchange/space_rows.cpp>
#include <gatedpaths/src/exchange/space_svg.cpp>
#include <gatedpaths/src/exchange/state_copies.cpp>
#include <gatedpaths/src/exchange/state_difference.cpp>
#include <gatedpaths/src/exchange/temporary_file.cpp>
#include <gatedpaths/src/exchange/torch_script.cpp>
#include <gatedpaths/src/gates/branch_weighting.cpp>
#include <gatedpaths/src/gates/branched_module.cpp>
#include <gatedpaths/src/gates/choice_block.cpp>
#include <gatedpaths/src/gates/closed_options.cpp>
#include <gatedpaths/src/gates/concat_gate.cpp>
#include <gatedpaths/src/gates/draw_state.cpp>
#include <gatedpaths/src/gates/draw_states.cpp>
#include <gatedpaths/src/gates/gate_head.cpp>
#include <gatedpaths/src/gates/gated_branch.cpp>
#include <gatedpaths/src/gates/gated_module.cpp>
#include <gatedpaths/src/gates/sample_gated_module.cpp>
#include <gatedpaths/src/gates/skip.cpp>
#include <gatedpaths/src/gates/straight_through.cpp>
#include <gatedpaths/src/gates/stream_seed.cpp>
#include <gatedpaths/src/gates/weighted_choice.cpp>
#include <gatedpaths/src/learning/gumbel_estimator.cpp>
#include <gatedpaths/src/learning/mixture_estimator.cpp>
#include <gatedpaths/src/learning/path_estimator.cpp>
#include <gatedpaths/src/learning/path_logits.cpp>
#include <gatedpaths/src/learning/path_losses.cpp>
#include <gatedpaths/src/learning/reinforce_estimator.cpp>
#include <gatedpaths/src/learning/two_path_estimator.cpp>
#include <gatedpaths/src/paths/bernoulli_sampler.cpp>
#include <gatedpaths/src/paths/draw_path.cpp>
#include <gatedpaths/src/paths/fair_sampler.cpp>
#include <gatedpaths/src/paths/fixed_sampler.cpp>
#include <gatedpaths/src/paths/gate_values.cpp>
#include <gatedpaths/src/paths/path.cpp>
#include <gatedpaths/src/paths/path_space.cpp>
#include <gatedpaths/src/paths/sampler.cpp>
#include <gatedpaths/src/paths/sandwich_sampler.cpp>
#include <gatedpaths/src/paths/space_layout.cpp>
#include <gatedpaths/src/paths/space_layout_count.cpp>
#include <gatedpaths/src/paths/space_layout_text.cpp>
#include <gatedpaths/src/paths/uniform_sampler.cpp>
#include <gatedpaths/src/paths/weighted_sampler.cpp>
#include <gatedpaths/src/random/draw_conditional_set.cpp>
#include <gatedpaths/src/random/draw_open_set.cpp>
#include <gatedpaths/src/random/fresh_seed.cpp>
#include <gatedpaths/src/search/additive_fit.cpp>
#include <gatedpaths/src/search/batch_norm_modes.cpp>
#include <gatedpaths/src/search/budget.cpp>
#include <gatedpaths/src/search/budget_axis.cpp>
#include <gatedpaths/src/search/budget_sampler.cpp>
#include <gatedpaths/src/search/budget_table.cpp>
#include <gatedpaths/src/search/choice_program.cpp>
#include <gatedpaths/src/search/cost_json.cpp>
#include <gatedpaths/src/search/cost_measure.cpp>
#include <gatedpaths/src/search/cost_model.cpp>
#include <gatedpaths/src/search/cost_notes.cpp>
#include <gatedpaths/src/search/cost_table.cpp>
#include <gatedpaths/src/search/cost_units.cpp>
#include <gatedpaths/src/search/count_convention.cpp>
#include <gatedpaths/src/search/counted_space.cpp>
#include <gatedpaths/src/search/cover_paths.cpp>
#include <gatedpaths/src/search/evaluate.cpp>
#include <gatedpaths/src/search/evaluated_net.cpp>
#include <gatedpaths/src/search/history_pictures.cpp>
#include <gatedpaths/src/search/json_lines.cpp>
#include <gatedpaths/src/search/kept_activations.cpp>
#include <gatedpaths/src/search/latency.cpp>
#include <gatedpaths/src/search/linear_flow.cpp>
#include <gatedpaths/src/search/local_search.cpp>
#include <gatedpaths/src/search/network_evaluation.cpp>
#include <gatedpaths/src/search/norm_walk.cpp>
#include <gatedpaths/src/search/nsga2.cpp>
#include <gatedpaths/src/search/operation_counter.cpp>
#include <gatedpaths/src/search/operation_table.cpp>
#include <gatedpaths/src/search/operation_watch.cpp>
#include <gatedpaths/src/search/pareto_fronts.cpp>
#include <gatedpaths/src/search/path_cost.cpp>
#include <gatedpaths/src/search/path_meter.cpp>
#include <gatedpaths/src/search/path_metric.cpp>
#include <gatedpaths/src/search/path_order.cpp>
#include <gatedpaths/src/search/path_proposer.cpp>
#include <gatedpaths/src/search/path_regression.cpp>
#include <gatedpaths/src/search/path_results.cpp>
#include <gatedpaths/src/search/place_watch.cpp>
#include <gatedpaths/src/search/plot.cpp>
#include <gatedpaths/src/search/predictor_search.cpp>
#include <gatedpaths/src/search/random_search.cpp>
#include <gatedpaths/src/search/rank_correlation.cpp>
#include <gatedpaths/src/search/regularized_evolution.cpp>
#include <gatedpaths/src/search/result_file.cpp>
#include <gatedpaths/src/search/search_history.cpp>
#include <gatedpaths/src/search/search_state.cpp>
#include <gatedpaths/src/search/search_strategy.cpp>
#include <gatedpaths/src/search/stage.cpp>
#include <gatedpaths/src/search/stage_gates.cpp>
#include <gatedpaths/src/search/stage_input.cpp>
#include <gatedpaths/src/search/stage_walk.cpp>
#include <gatedpaths/src/search/successive_halving.cpp>
#include <gatedpaths/src/search/zero_cost.cpp>
#include <gatedpaths/src/slots/dense_parts.cpp>
#include <gatedpaths/src/slots/slot_batch_norm.cpp>
#include <gatedpaths/src/slots/slot_consumer.cpp>
#include <gatedpaths/src/slots/slot_conv.cpp>
#include <gatedpaths/src/slots/slot_layer.cpp>
#include <gatedpaths/src/slots/slot_linear.cpp>
#include <gatedpaths/src/slots/slot_map.cpp>
#include <gatedpaths/src/slots/slots.cpp>
#include <gatedpaths/src/text/text_reader.cpp>
#include <gatedpaths/src/training/check_trainable.cpp>
#include <gatedpaths/src/training/gradient_watch.cpp>
#include <gatedpaths/src/training/open_optimizer.cpp>
#include <gatedpaths/src/training/recalibrate_batch_norm.cpp>
#include <gatedpaths/src/training/schedule.cpp>
#include <gatedpaths/src/version.cpp>

#endif
