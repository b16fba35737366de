// SPDX-License-Identifier: MIT
// Ctrl-C as a request: finish the step, save, stop.
#pragma once

namespace cifar10 {

/// From now on, the first SIGINT or SIGTERM only sets what `interrupted` gives;
/// a second one ends the program at once.
void catch_interrupts();

/// The signal that came, or 0.
int interrupted();

}  // namespace cifar10
