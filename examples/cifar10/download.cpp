// SPDX-License-Identifier: MIT
#include "download.hpp"

#include "cifar10_download_script.hpp"

#include <c10/util/Exception.h>

#include <fmt/format.h>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <system_error>
#include <vector>

extern char** environ;

namespace cifar10 {
namespace {

namespace fs = std::filesystem;

/// Runs a program of the PATH, without a shell, and gives its exit status.
int run(std::vector<std::string> command) {
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (auto& word : command) {
    arguments.push_back(word.data());
  }
  arguments.push_back(nullptr);

  pid_t child = 0;
  const int error = ::posix_spawnp(
      &child, arguments[0], nullptr, nullptr, arguments.data(), environ);
  TORCH_CHECK(
      error == 0,
      "download: expected to run '",
      command[0],
      "' (CMake downloads and unpacks), got: ",
      std::generic_category().message(error));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string read_text(const fs::path& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

}  // namespace

fs::path download_folder() {
  const auto variable = [](const char* name) -> fs::path {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  auto cache = variable("XDG_CACHE_HOME");
  if (cache.empty() && !variable("HOME").empty()) {
    cache = variable("HOME") / ".cache";
  }
  return cache.empty() ? cache : cache / "gatedpaths" / "cifar10";
}

void download(const Archive& archive, const fs::path& folder) {
  TORCH_CHECK(
      !folder.empty(),
      "download: expected HOME or XDG_CACHE_HOME to be set, got neither");
  std::error_code error;
  fs::create_directories(folder, error);
  const auto script = folder / "download.cmake";
  const auto problem_file = folder / "problem.txt";
  fs::remove(problem_file, error);
  std::ofstream(script) << kDownloadScript;
  TORCH_CHECK(
      fs::exists(script),
      "download: expected a folder that can be written, got '",
      folder.string(),
      "'");

  const int status = run(
      {"cmake",
       "-DURL=" + archive.url,
       "-DMD5=" + archive.md5,
       "-DFOLDER=" + folder.string(),
       "-DPROBLEM_FILE=" + problem_file.string(),
       "-P",
       script.string()});
  const bool reported = fs::exists(problem_file);
  const auto problem = read_text(problem_file);
  fs::remove(problem_file, error);
  fs::remove(script, error);
  TORCH_CHECK(
      status == 0 && reported,
      "download: expected CMake to succeed, got exit status ",
      status,
      " (its own message is above)");
  TORCH_CHECK(problem.empty(), "download: ", problem);
}

}  // namespace cifar10
