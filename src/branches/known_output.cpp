// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/known_output.hpp>

#include <c10/util/SmallVector.h>

#include <algorithm>
#include <cstddef>
#include <utility>

namespace gatedpaths::detail {
namespace {

struct BatchPoint {
  int64_t batch;
  const OutputSpec* spec;
};
using BatchPoints = c10::SmallVector<BatchPoint, 3>;

enum class Fit { kYes, kTooFew, kNo };

// `fixed + per_sample * batch` through all points.
Fit fit_size(const BatchPoints& points, size_t t, size_t d, SizeRule& rule) {
  const auto size = [&](const BatchPoint& point) {
    return point.spec->tensors[t].sizes[d].fixed;
  };
  const auto& [first, second] = std::pair(points[0], points[1]);
  const int64_t rise = size(second) - size(first);
  const int64_t run = second.batch - first.batch;
  rule.per_sample = rise / run;
  rule.fixed = size(first) - rule.per_sample * first.batch;
  const bool on_line =
      std::all_of(points.begin(), points.end(), [&](const BatchPoint& point) {
        return rule.at(point.batch) == size(point);
      });
  if (!on_line) {
    // Two points with a slope that is no whole number have no line either.
    return Fit::kNo;
  }
  const bool plain =
      rule == SizeRule{.fixed = 0, .per_sample = 1} || rule.per_sample == 0;
  return plain || points.size() > 2 ? Fit::kYes : Fit::kTooFew;
}

Fit fit_rule(const BatchPoints& points, OutputSpec& rule) {
  const auto alike = [&](const BatchPoint& point) {
    return rule.same_kind(*point.spec);
  };
  if (!std::all_of(points.begin(), points.end(), alike)) {
    return Fit::kNo;
  }
  Fit fit = Fit::kYes;
  for (size_t t = 0; t < rule.tensors.size(); ++t) {
    for (size_t d = 0; d < rule.tensors[t].sizes.size(); ++d) {
      const Fit one = fit_size(points, t, d, rule.tensors[t].sizes[d]);
      if (one == Fit::kNo) {
        return one;
      }
      fit = one == Fit::kTooFew ? one : fit;
    }
  }
  return fit;
}

bool is_possible(const OutputSpec& spec, int64_t batch) {
  return std::all_of(
      spec.tensors.begin(), spec.tensors.end(), [&](const TensorSpec& tensor) {
        return std::all_of(
            tensor.sizes.begin(), tensor.sizes.end(), [&](const SizeRule& s) {
              return s.at(batch) >= 0;
            });
      });
}

}  // namespace

bool KnownOutput::rule_holds(int64_t batch) const {
  return rule_ && (batch != 1 || rule_holds_for_one_) &&
         is_possible(*rule_, batch);
}

const OutputSpec* KnownOutput::find(int64_t batch) {
  return rule_holds(batch) ? &*rule_ : by_batch_.find(batch);
}

bool KnownOutput::contradicts(const OutputSpec& spec, int64_t batch) {
  const OutputSpec* known = find(batch);
  return known != nullptr && known->source != OutputSpec::Source::kDeclared &&
         !(known->same_kind(spec) && known->same_sizes(spec, batch));
}

void KnownOutput::add(OutputSpec spec, int64_t batch) {
  if (rule_ && rule_->same_sizes(spec, batch)) {
    rule_holds_for_one_ |= batch == 1;
    // Only how sizes follow the batch is better known than from one batch.
    for (size_t t = 0; t < spec.tensors.size(); ++t) {
      const auto& known = rule_->tensors[t];
      spec.tensors[t].sizes = known.sizes;
      if (batch == 0) {
        spec.tensors[t].memory_format = known.memory_format;
      }
    }
    rule_ = std::move(spec);
    return;
  }
  if (rule_ && !rule_holds(batch)) {
    by_batch_.put(batch, std::move(spec));
    return;
  }
  if (rule_ || contradicts(spec, batch)) {
    *this = KnownOutput();
  }
  by_batch_.put(batch, std::move(spec));
  find_rule();
}

void KnownOutput::find_rule() {
  if (is_irregular_ || by_batch_.size() < 2) {
    return;
  }
  BatchPoints points;
  for (const auto& [batch, spec] : by_batch_) {
    if (batch < 0) {
      return;
    }
    if (points.size() < 3 && batch != 1) {
      points.push_back({batch, &spec});
    }
  }
  if (points.size() < 2) {
    return;
  }
  // Not the empty one: its strides say little about its memory format.
  const auto fullest = std::max_element(
      points.begin(), points.end(), [](const auto& a, const auto& b) {
        return a.batch < b.batch;
      });
  OutputSpec rule = *fullest->spec;
  switch (fit_rule(points, rule)) {
    case Fit::kYes:
      for (const auto& point : points) {
        if (point.spec->source == OutputSpec::Source::kReturned) {
          rule.source = OutputSpec::Source::kReturned;
        }
      }
      rule_ = std::move(rule);
      if (const OutputSpec* one = by_batch_.find(1)) {
        rule_holds_for_one_ = rule_->same_sizes(*one, 1);
      }
      break;
    case Fit::kTooFew:
      break;
    case Fit::kNo:
      is_irregular_ = true;
      break;
  }
}

}  // namespace gatedpaths::detail
