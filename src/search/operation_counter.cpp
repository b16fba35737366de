// SPDX-License-Identifier: MIT
#include <gatedpaths/search/operation_counter.hpp>

#include "operation_watch.hpp"

#include <utility>

namespace gatedpaths {

class OperationCounter::Watch : public detail::OperationWatch {
 public:
  explicit Watch(CountConvention convention)
      : OperationWatch(std::move(convention)) {}

  OperationCount total;
  std::map<std::string, OperationCount> by_operator;
  std::map<std::string, int64_t> unknown_calls;

 private:
  void counted(const std::string& name, const OperationCount& count) override {
    if (count == OperationCount{}) {
      return;
    }
    total.macs += count.macs;
    total.flops += count.flops;
    OperationCount& of_name = by_operator[name];
    of_name.macs += count.macs;
    of_name.flops += count.flops;
  }

  void unknown(const std::string& name) override { ++unknown_calls[name]; }
};

OperationCounter::OperationCounter(CountConvention convention)
    : watch_(std::make_unique<Watch>(std::move(convention))) {}

OperationCounter::~OperationCounter() = default;

int64_t OperationCounter::macs() const noexcept { return watch_->total.macs; }

int64_t OperationCounter::flops() const noexcept { return watch_->total.flops; }

const std::map<std::string, OperationCount>& OperationCounter::by_operator()
    const& noexcept {
  return watch_->by_operator;
}

const std::map<std::string, int64_t>& OperationCounter::unknown()
    const& noexcept {
  return watch_->unknown_calls;
}

const CountConvention& OperationCounter::convention() const& noexcept {
  return watch_->convention();
}

}  // namespace gatedpaths
