// SPDX-License-Identifier: MIT
#include "session.hpp"

#include "command_line.hpp"
#include "cycle.hpp"
#include "data_source.hpp"
#include "device.hpp"
#include "file_lock.hpp"
#include "interrupt.hpp"
#include "net_report.hpp"
#include "output.hpp"
#include "ranking_report.hpp"
#include "run_folder.hpp"
#include "search_images.hpp"

#include <ATen/Parallel.h>

#include <cstdio>
#include <string>
#include <utility>

namespace nas_bench_macro {
namespace {

constexpr auto kStandInNote =
    "No CIFAR-10 here: the cycle on a generated stand-in of ten drawn shapes.\n"
    "This ranking means nothing. For the real images, add --download (170 MB,\n"
    "kept for later runs), or --data DIR where you have the binary files.\n";

/// The images, and with them how large a run is.
SearchImages prepare(Options& options) {
  auto data = cifar10::load_data(options.data);
  set_scale(
      options,
      data.is_stand_in ? kMadeImagesScale
      : options.full   ? kFullScale
                       : kDefaultScale);
  return split(std::move(data), options);
}

}  // namespace

int run_session(const Options& given, const std::string& command) {
  auto options = given;
  if (!options.net.empty()) {
    report_net(options);
    return 0;
  }
  cifar10::require_device(options.device);
  make_run_folder(options.out);
  const cifar10::FileLock lock("--out", options.out / "run");
  if (!options.ranking.empty()) {
    report_ranking(options);
    return 0;
  }
  cifar10::catch_interrupts();  // before it says that it runs
  at::set_num_threads(static_cast<int>(options.threads));
  auto images = prepare(options);
  if (images.is_stand_in) {
    cifar10::write_out(stdout, kStandInNote);
  }
  return Cycle(options, std::move(images)).run(command);
}

}  // namespace nas_bench_macro
