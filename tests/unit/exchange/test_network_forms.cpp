// SPDX-License-Identifier: MIT
// That a network may be given by reference, holder or pointer.
#include <gatedpaths/exchange/checkpoint.hpp>
#include <gatedpaths/exchange/dense_state.hpp>
#include <gatedpaths/slots/slot_linear.hpp>

#include <sstream>
#include <string>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tensors.hpp"

using gatedpaths::join_slots;
using gatedpaths::load_checked;
using gatedpaths::SlotLinear;
using gatedpaths::SlotLinearOptions;
using gatedpaths::slots_from_dense;
using gatedpaths::slots_to_dense;
using gatedpaths::split_slots;
using gatedpaths::StateDict;
using gatedpaths::test::bit_equal;
using gatedpaths::test::message_of;

namespace {

SlotLinear any_form_layer() { return SlotLinear(SlotLinearOptions({2, 3}, 4)); }

torch::serialize::InputArchive any_form_archive(const SlotLinear& layer) {
  torch::serialize::OutputArchive out;
  layer->save(out);
  std::stringstream stream;
  out.save_to(stream);
  torch::serialize::InputArchive in;
  in.load_from(stream);
  return in;
}

// Goes through all that exchange/ does with a network.
template <class Net>
bool round_trip(const SlotLinear& from, SlotLinear& to, const Net& net) {
  const StateDict dense = slots_to_dense(from);
  slots_from_dense(net, dense);
  const bool loaded = bit_equal(slots_to_dense(net)["weight"], dense["weight"]);
  const StateDict parts = split_slots(net, dense);
  const bool joined =
      bit_equal(join_slots(net, parts)["weight"], dense["weight"]);
  to->bias.detach().zero_();
  auto archive = any_form_archive(from);
  load_checked(net, archive);
  return loaded && joined && bit_equal(to->bias, from->bias);
}

}  // namespace

TEST_CASE(
    "exchange: takes a network by reference, holder or pointer",
    "[dense_state][checkpoint]") {
  const SlotLinear from = any_form_layer();
  SlotLinear to = any_form_layer();
  CHECK(round_trip(from, to, to));
  CHECK(round_trip(from, to, to.ptr()));
  torch::nn::Module& reference = *to;
  slots_from_dense(reference, slots_to_dense(from));
  CHECK(bit_equal(
      slots_to_dense(reference)["weight"], slots_to_dense(*from)["weight"]));
}

TEST_CASE(
    "exchange: an empty holder is an error that names the function",
    "[dense_state][checkpoint][error]") {
  const SlotLinear none = nullptr;
  const auto message = [](auto call) {
    return message_of<c10::ValueError>(call);
  };
  const std::string got = ": expected a network, got none";
  CHECK(message([&] { slots_to_dense(none); }) == "slots_to_dense" + got);
  CHECK(message([&] {
          slots_from_dense(none, StateDict());
        }) == "slots_from_dense" + got);
  CHECK(message([&] { join_slots(none, StateDict()); }) == "join_slots" + got);
  CHECK(
      message([&] { split_slots(none, StateDict()); }) == "split_slots" + got);
  auto archive = any_form_archive(any_form_layer());
  CHECK(message([&] { load_checked(none, archive); }) == "load_checked" + got);
}
