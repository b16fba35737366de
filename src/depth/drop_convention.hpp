// SPDX-License-Identifier: MIT
#pragma once

#include <gatedpaths/depth/drop_mode.hpp>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/serialize/archive.h>

#include <cstdint>
#include <ostream>

namespace gatedpaths::detail {

/// How rows are dropped and scaled.
struct DropSettings {
  DropMode mode;
  DropScale scale;
  double drop_rate;
};

/// `DropSettings` as a part of a module's checkpoint: a child module, since a
/// copy of a module cannot exchange its own buffers, with one buffer, so that
/// whatever writes or reads state dicts carries it along.
///
/// The buffer is `[mode, scale, drop_rate]` in double and stays on the CPU,
/// where reading it costs no synchronisation.
class DropConvention : public torch::nn::Module {
 public:
  explicit DropConvention(const DropSettings& settings);

  /// What the buffer holds, whoever wrote it.
  ///
  /// Throws: `c10::ValueError` where that is no convention.
  const DropSettings& get();

  void set(const DropSettings& settings);

  /// Throws: `c10::ValueError`, with everything as it was, where the archive
  /// holds no convention.
  void load(torch::serialize::InputArchive& archive) override;

  // Neither the device nor the dtype of the network is the buffer's.
  void to(torch::Device, torch::Dtype, bool) override {}
  void to(torch::Dtype, bool) override {}
  void to(torch::Device, bool) override {}

  void pretty_print(std::ostream& stream) const override;

 private:
  bool is_read() const;
  void mark_read();

  at::Tensor values_;
  DropSettings settings_;
  // The memory and the version of the buffer that settings_ were read from.
  const void* read_from_ = nullptr;
  int64_t read_version_ = 0;
};

}  // namespace gatedpaths::detail
