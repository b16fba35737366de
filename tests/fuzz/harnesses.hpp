// SPDX-License-Identifier: MIT
// One function for each reader of text or bytes: it gives the bytes to the
// reader and throws where that breaks a promise. libFuzzer calls it with bytes
// of its own making (libfuzzer.cpp), CTest with the files of corpus/<name>/
// (replay.cpp).
#pragma once

#include <cstdint>
#include <span>

namespace gatedpaths::fuzz {

using Bytes = std::span<const std::uint8_t>;

// The library.
void checkpoint(Bytes bytes);
void checkpoint_bytes(Bytes bytes);
void cost_json(Bytes bytes);
void depth_rates_text(Bytes bytes);
void evaluation_results(Bytes bytes);
void path_text(Bytes bytes);
void safetensors(Bytes bytes);
void schedule_text(Bytes bytes);
void space_json(Bytes bytes);
void search_history(Bytes bytes);
void space_layout(Bytes bytes);

// The program examples/cifar10.
void cifar10_checkpoint(Bytes bytes);
void cifar10_class_names(Bytes bytes);
void cifar10_command_line(Bytes bytes);
void cifar10_metrics(Bytes bytes);
void cifar10_position(Bytes bytes);
void cifar10_records(Bytes bytes);

// The program examples/nas_bench_201.
void nas_bench_201_architecture(Bytes bytes);

}  // namespace gatedpaths::fuzz
