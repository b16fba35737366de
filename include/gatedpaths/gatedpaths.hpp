// SPDX-License-Identifier: MIT
#pragma once

/// Everything public, except what lies in `distributed/`.

#include <gatedpaths/modules/any_branch.hpp>
#include <gatedpaths/modules/choice_block.hpp>
#include <gatedpaths/modules/concat_gate.hpp>
#include <gatedpaths/modules/gated_branch.hpp>
#include <gatedpaths/modules/gated_branch_base.hpp>
#include <gatedpaths/modules/input_gate.hpp>
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
#include <gatedpaths/paths/gated_module.hpp>
#include <gatedpaths/paths/path.hpp>
#include <gatedpaths/paths/path_space.hpp>
#include <gatedpaths/paths/sampler.hpp>
#include <gatedpaths/paths/uniform_sampler.hpp>
#include <gatedpaths/training/check_trainable.hpp>
#include <gatedpaths/training/checkpoint.hpp>
#include <gatedpaths/training/dense_state.hpp>
#include <gatedpaths/training/path_optimizer.hpp>
#include <gatedpaths/version.hpp>
