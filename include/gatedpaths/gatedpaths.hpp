// SPDX-License-Identifier: MIT
#pragma once

/// Everything public, except what lies in `distributed/`.

#include <gatedpaths/modules/any_branch.hpp>
#include <gatedpaths/modules/choice_block.hpp>
#include <gatedpaths/modules/concat_gate.hpp>
#include <gatedpaths/modules/gated_branch.hpp>
#include <gatedpaths/modules/layer_drop.hpp>
#include <gatedpaths/modules/named_branch.hpp>
#include <gatedpaths/modules/output_shape.hpp>
#include <gatedpaths/modules/sample_capacity.hpp>
#include <gatedpaths/modules/sample_gated_module.hpp>
#include <gatedpaths/modules/skip.hpp>
#include <gatedpaths/modules/slot_batch_norm.hpp>
#include <gatedpaths/modules/slot_consumer.hpp>
#include <gatedpaths/modules/slot_conv.hpp>
#include <gatedpaths/modules/slot_linear.hpp>
#include <gatedpaths/modules/slot_map.hpp>
#include <gatedpaths/modules/slots.hpp>
#include <gatedpaths/modules/stochastic_depth.hpp>
#include <gatedpaths/paths/bernoulli_sampler.hpp>
#include <gatedpaths/paths/depth_rates.hpp>
#include <gatedpaths/paths/fair_sampler.hpp>
#include <gatedpaths/paths/fixed_sampler.hpp>
#include <gatedpaths/paths/gate_values.hpp>
#include <gatedpaths/paths/gated_module.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/path_logits.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/paths/sampler.hpp>
#include <gatedpaths/paths/sandwich_sampler.hpp>
#include <gatedpaths/paths/schedule.hpp>
#include <gatedpaths/paths/uniform_sampler.hpp>
#include <gatedpaths/paths/weighted_sampler.hpp>
#include <gatedpaths/training/check_trainable.hpp>
#include <gatedpaths/training/checkpoint.hpp>
#include <gatedpaths/training/dense_state.hpp>
#include <gatedpaths/training/gumbel_estimator.hpp>
#include <gatedpaths/training/mixture_estimator.hpp>
#include <gatedpaths/training/path_estimator.hpp>
#include <gatedpaths/training/path_losses.hpp>
#include <gatedpaths/training/path_optimizer.hpp>
#include <gatedpaths/training/recalibrate_batch_norm.hpp>
#include <gatedpaths/training/reinforce_estimator.hpp>
#include <gatedpaths/training/two_path_estimator.hpp>
#include <gatedpaths/version.hpp>
