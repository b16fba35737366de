// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/sample_gates.hpp>

#include "host_memory.hpp"

#include <algorithm>

namespace gatedpaths::detail {

bool SampleGates::is_partial() const noexcept {
  return std::any_of(rows.begin(), rows.end(), [](const at::Tensor& list) {
    return list.defined();
  });
}

std::vector<int64_t> SampleGates::counts() const {
  std::vector<int64_t> result(static_cast<size_t>(batch), 0);
  for (const auto& list : samples) {
    for (const int64_t sample : list) {
      ++result[static_cast<size_t>(sample)];
    }
  }
  return result;
}

SampleGates read_sample_gates(const at::Tensor& open, int64_t branches) {
  SampleGates gates;
  gates.batch = open.size(0);
  gates.samples.resize(static_cast<size_t>(branches));
  const auto on_host = open.to(at::kCPU).contiguous();
  const bool* next = on_host.const_data_ptr<bool>();
  for (int64_t sample = 0; sample < gates.batch; ++sample) {
    for (auto& list : gates.samples) {
      if (*next++) {
        list.push_back(sample);
      }
    }
  }
  return gates;
}

void finish_sample_gates(SampleGates& gates, at::Device device) {
  std::vector<int64_t> all_partial;
  for (size_t i = 0; i < gates.samples.size(); ++i) {
    const auto& list = gates.samples[i];
    if (list.empty()) {
      continue;
    }
    gates.ran.push_back(static_cast<int64_t>(i));
    if (static_cast<int64_t>(list.size()) < gates.batch) {
      all_partial.insert(all_partial.end(), list.begin(), list.end());
    }
  }
  const auto counts = gates.counts();
  gates.disjoint = std::all_of(
      counts.begin(), counts.end(), [](int64_t count) { return count <= 1; });
  gates.rows.resize(gates.ran.size());
  if (all_partial.empty()) {
    return;
  }
  // One copy for all branches.
  const auto lists = to_device(all_partial, device);
  int64_t first = 0;
  for (size_t i = 0; i < gates.ran.size(); ++i) {
    const auto& list = gates.samples[static_cast<size_t>(gates.ran[i])];
    const auto size = static_cast<int64_t>(list.size());
    if (size < gates.batch) {
      gates.rows[i] = lists.narrow(0, first, size);
      first += size;
    }
  }
}

at::Tensor to_device(const std::vector<int64_t>& numbers, at::Device device) {
  const auto on_host =
      host_memory({static_cast<int64_t>(numbers.size())}, at::kLong, device);
  std::copy(
      numbers.begin(), numbers.end(), on_host.mutable_data_ptr<int64_t>());
  return send(on_host, device, at::kLong);
}

}  // namespace gatedpaths::detail
