// SPDX-License-Identifier: MIT
// What a forward keeps for its backward. Not installed.
#pragma once

#include "../branches/operator_watch.hpp"
#include "place_watch.hpp"

#include <c10/core/StorageImpl.h>
#include <c10/util/intrusive_ptr.h>

#include <cstdint>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace gatedpaths::detail {

/// While it lives, remembers the memory that operators make, and which nodes of
/// the graph are made where.
class KeptActivations : private OperatorWatch, public PlaceWatch {
 public:
  explicit KeptActivations(PathMeter& meter);

  /// Memory that is there anyway: of inputs, parameters and buffers.
  void leave_out(const at::Tensor& tensor);

  /// Adds the bytes that the graph under `outputs` keeps, each to the part
  /// whose graph keeps it, the first of several. Ends the graph.
  void count(std::vector<at::Tensor> outputs, PartTallies& tallies);

 private:
  struct Made {
    c10::weak_intrusive_ptr<c10::StorageImpl> memory;
    int64_t bytes;
    GatePlace place;
  };

  void before(const c10::OperatorHandle& op, Values arguments) override;
  void after(const c10::OperatorHandle& op, Values results) override;
  void after_change() noexcept override;
  void add(const at::Tensor& tensor);
  GatePlace place_of_node(uint64_t sequence_number) const;

  std::unordered_set<const void*> left_out_;
  std::vector<Made> made_;
  std::unordered_map<const void*, size_t> place_in_made_;
  // From which number on the nodes of the graph are made where, ascending.
  std::vector<std::pair<uint64_t, GatePlace>> sections_;
};

}  // namespace gatedpaths::detail
