// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/detail/clone_module.hpp>
#include <gatedpaths/branches/detail/restorable.hpp>
#include <gatedpaths/exchange/derive.hpp>

#include "narrowing.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace gatedpaths {
namespace {

// Which copy a module has, and whether copies are shared as what they are of.
class CopyPairs {
 public:
  void add(
      torch::nn::Module& from,
      const std::shared_ptr<torch::nn::Module>& to,
      const std::string& name) {
    if (!add_one("module", &from, to.get(), name, modules_)) {
      return;
    }
    copies_.emplace(&from, to.get());
    add_tensors(
        from.named_parameters(false), to->named_parameters(false), name);
    add_tensors(from.named_buffers(false), to->named_buffers(false), name);
    const auto children = from.named_children();
    const auto copies = to->named_children();
    for (size_t i = 0; i < children.size(); ++i) {
      if (children[i].value() != nullptr) {
        add(*children[i].value(),
            copies[i].value(),
            dotted_name(name, children[i].key()));
      }
    }
  }

  torch::nn::Module* copy_of(const torch::nn::Module& from) const {
    return copies_.at(&from);
  }

 private:
  struct Known {
    const void* copy;
    std::string name;
  };
  using Pairs = std::unordered_map<const void*, Known>;

  static std::string dotted_name(
      const std::string& prefix, const std::string& name) {
    return prefix.empty() ? name : prefix + "." + name;
  }

  // Whether it is new.
  static bool add_one(
      const char* kind,
      const void* from,
      const void* to,
      const std::string& name,
      Pairs& pairs) {
    TORCH_CHECK(
        from != to,
        fmt::format(
            "derive: expected a clone() that copies the {} '{}', got one that "
            "shares it with the network itself",
            kind,
            name));
    const auto [known, is_new] = pairs.try_emplace(from, Known{to, name});
    TORCH_CHECK(
        is_new || known->second.copy == to,
        fmt::format(
            "derive: expected a clone() that gives '{}' and '{}' the same {}, "
            "as the network has it, got two; make another network, load its "
            "weights, and narrow() that",
            known->second.name,
            name,
            kind));
    return is_new;
  }

  void add_tensors(
      const torch::OrderedDict<std::string, at::Tensor>& from,
      const torch::OrderedDict<std::string, at::Tensor>& to,
      const std::string& module) {
    for (const auto& item : from) {
      const auto* copy = to.find(item.key());
      const std::string name = dotted_name(module, item.key());
      TORCH_CHECK(
          copy != nullptr,
          fmt::format(
              "derive: expected a clone() that copies the tensor '{}', got "
              "none of this name",
              name));
      if (item.value().defined()) {
        add_one(
            "tensor",
            item.value().unsafeGetTensorImpl(),
            copy->unsafeGetTensorImpl(),
            name,
            tensors_);
      }
    }
  }

  std::unordered_map<const torch::nn::Module*, torch::nn::Module*> copies_;
  Pairs modules_;
  Pairs tensors_;
};

using Restorables = std::unordered_set<const detail::Restorable*>;

void collect(const torch::nn::Module& module, Restorables& found) {
  for (const auto& part : module.modules()) {
    if (const auto* own = dynamic_cast<const detail::Restorable*>(part.get())) {
      found.insert(own);
    }
  }
}

// LibTorch's clone of a ModuleList, a ModuleDict or a Sequential puts copies of
// its own in place of the modules that the network's reset() has registered;
// what else refers to those runs modules that are no part of the copy.
void check_all_in_tree(
    const torch::nn::Module& copy,
    const detail::SharedClones& shared,
    int64_t num_made) {
  Restorables known;
  collect(copy, known);
  for (const auto& [from, to] : shared.clones) {
    collect(*to, known);  // branches that are gone are in no tree
  }
  const auto num_outside = num_made - static_cast<int64_t>(known.size());
  TORCH_CHECK(
      num_outside <= 0,
      fmt::format(
          "derive: expected a clone() that holds gates and layers on slots in "
          "its module tree alone, got one with {} outside of it; a member that "
          "refers to what a ModuleList, ModuleDict or Sequential holds goes on "
          "referring to what that held before clone(): take it from there in "
          "forward(), or make another network, load its weights, and narrow() "
          "that",
          num_outside));
}

std::shared_ptr<torch::nn::Module> clone_network(const torch::nn::Module& net) {
  try {
    return detail::clone_module(net, std::nullopt);
  } catch (const c10::TypeError&) {
    throw;  // names the class that has none of its own
  } catch (const c10::Error& error) {
    TORCH_CHECK(
        false,
        "derive: expected a network that can be cloned, got: ",
        error.what_without_backtrace(),
        "; otherwise make another one, load its weights, and narrow() that");
  }
}

}  // namespace

std::shared_ptr<torch::nn::Module> detail::derive_module(
    torch::nn::Module& net,
    const PathSpace& space,
    const Path& path,
    const DeriveOptions& options) {
  auto narrowing = Narrowing::of("derive", net, space, path);
  std::shared_ptr<torch::nn::Module> derived;
  CopyPairs pairs;
  {
    const detail::SharedClones shared;
    const auto before = detail::Restorable::num_living();
    derived = clone_network(net);
    const auto num_made = detail::Restorable::num_living() - before;
    pairs.add(net, derived, "");
    check_all_in_tree(*derived, shared, num_made);
  }
  narrowing.move_to(
      [&](const torch::nn::Module& module) { return pairs.copy_of(module); });
  narrowing.run(*derived);
  if (options.weights() == DerivedWeights::kReset) {
    reset_weights(derived, options.initialise());
  }
  return derived;
}

void narrow(const NetworkRef& net, const PathSpace& space, const Path& path) {
  auto& module = net.module("narrow");
  detail::Narrowing::of("narrow", module, space, path).run(module);
}

void narrow(const NetworkRef& net, const Path& path) {
  net.module("narrow");
  narrow(net, PathSpace(net), path);
}

}  // namespace gatedpaths
