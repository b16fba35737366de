// SPDX-License-Identifier: MIT
#include <gatedpaths/branches/network_ref.hpp>

#include <torch/nn/modules/linear.h>

#include <memory>
#include <type_traits>

#include "support/catch.hpp"
#include "support/errors.hpp"

using gatedpaths::NetworkRef;
using gatedpaths::test::message_of;
using torch::nn::Linear;
using torch::nn::LinearImpl;

static_assert(std::is_convertible_v<LinearImpl&, NetworkRef>);
static_assert(std::is_convertible_v<const Linear&, NetworkRef>);
static_assert(std::is_convertible_v<Linear, NetworkRef>);
static_assert(std::is_convertible_v<std::shared_ptr<LinearImpl>, NetworkRef>);
static_assert(
    std::is_convertible_v<std::shared_ptr<torch::nn::Module>, NetworkRef>);
static_assert(!std::is_convertible_v<LinearImpl, NetworkRef>);
static_assert(!std::is_convertible_v<const LinearImpl&, NetworkRef>);
static_assert(!std::is_convertible_v<at::Tensor, NetworkRef>);

namespace {

torch::nn::Module* module_of_ref(const NetworkRef& network) {
  return &network.module("test");
}

}  // namespace

TEST_CASE("NetworkRef: every form is the same network", "[network_ref]") {
  const Linear net(2, 2);
  CHECK(module_of_ref(net) == net.get());
  CHECK(module_of_ref(net.ptr()) == net.get());
  CHECK(module_of_ref(*net.ptr()) == net.get());
  CHECK(NetworkRef(net).owner() == net.ptr());
  CHECK(NetworkRef(*net.ptr()).owner() == net.ptr());
  LinearImpl on_stack(2, 2);
  CHECK(module_of_ref(on_stack) == &on_stack);
  CHECK(NetworkRef(on_stack).owner() == nullptr);
}

TEST_CASE("NetworkRef: an empty one is an error", "[network_ref][error]") {
  const auto message = [](const NetworkRef& network) {
    return message_of<c10::ValueError>([&] { network.module("f"); });
  };
  CHECK(message(Linear(nullptr)) == "f: expected a network, got none");
  CHECK(message(nullptr) == "f: expected a network, got none");
  CHECK(
      message(std::shared_ptr<LinearImpl>()) ==
      "f: expected a network, got none");
}
