// SPDX-License-Identifier: MIT
#include "interrupt.hpp"

#include <csignal>

namespace cifar10 {
namespace {

volatile std::sig_atomic_t pending = 0;

extern "C" void note_signal(int signal) { pending = signal; }

}  // namespace

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = note_signal;
  action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

int interrupted() { return pending; }

}  // namespace cifar10
