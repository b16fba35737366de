// SPDX-License-Identifier: MIT
#include "data_source.hpp"

#include "stand_in.hpp"

#include <c10/util/Exception.h>

namespace cifar10 {
namespace {

Dataset read_download(const std::filesystem::path& folder) {
  try {
    return read_dataset(folder);
  } catch (const c10::Error& error) {
    TORCH_CHECK(
        false, error.what_without_backtrace(), "; --download gets it again");
  }
}

Dataset find(const DataRequest& request) {
  if (!request.folder.empty()) {
    return read_dataset(request.folder);
  }
  const auto folder = download_folder();
  if (request.download) {
    download(request.archive, folder);
  }
  if (request.download ||
      std::filesystem::exists(folder / "cifar-10-batches-bin")) {
    return read_download(folder);
  }
  return stand_in_dataset(request.limit);
}

}  // namespace

Dataset load_data(const DataRequest& request) {
  auto data = find(request);
  keep_first(data.train, request.limit);
  keep_first(data.test, request.limit);
  return data;
}

}  // namespace cifar10
