// SPDX-License-Identifier: MIT
#include "support/process.hpp"

#include "support/files.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <stdexcept>
#include <thread>

extern char** environ;

namespace gatedpaths::test {
namespace {

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> result;
  for (auto& word : words) {
    result.push_back(word.data());
  }
  result.push_back(nullptr);
  return result;
}

std::vector<std::string> environment(const fs::path& cache) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (std::strncmp(*entry, "XDG_CACHE_HOME=", 15) != 0) {
      result.emplace_back(*entry);
    }
  }
  result.push_back("XDG_CACHE_HOME=" + cache.string());
  return result;
}

}  // namespace

Process::Process(
    const std::vector<std::string>& command, const fs::path& folder)
    : out_(folder / "stdout"), err_(folder / "stderr") {
  auto arguments = command;
  auto variables = environment(folder);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  constexpr int kFlags = O_WRONLY | O_CREAT | O_TRUNC;
  posix_spawn_file_actions_addopen(
      &actions, STDOUT_FILENO, out_.c_str(), kFlags, 0644);
  posix_spawn_file_actions_addopen(
      &actions, STDERR_FILENO, err_.c_str(), kFlags, 0644);
  const int error = ::posix_spawnp(
      &child_,
      arguments[0].c_str(),
      &actions,
      nullptr,
      pointers(arguments).data(),
      pointers(variables).data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    throw std::runtime_error(arguments[0] + ": " + std::strerror(error));
  }
}

Process::~Process() {
  if (!ended()) {
    ::kill(child_, SIGKILL);
    wait();
  }
}

bool Process::wait_for(const std::string& text) {
  using std::chrono::steady_clock;
  const auto deadline = steady_clock::now() + std::chrono::minutes(1);
  while (steady_clock::now() < deadline) {
    const bool over = ended();
    if (read_file(out_).find(text) != std::string::npos) {
      return true;
    }
    if (over) {
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

// Not to a process that has ended: another one may have its number.
void Process::send(int signal) {
  if (!ended()) {
    ::kill(child_, signal);
  }
}

void Process::interrupt() { send(SIGINT); }

void Process::stop() {
  send(SIGSTOP);
  while (!reaped_) {
    if (::waitpid(child_, &wait_status_, WUNTRACED) == child_) {
      if (WIFSTOPPED(wait_status_)) {
        return;
      }
      reaped_ = true;
    } else if (errno != EINTR) {
      throw std::runtime_error(std::strerror(errno));
    }
  }
}

Finished Process::wait() {
  while (!reaped_) {
    if (::waitpid(child_, &wait_status_, 0) == child_) {
      reaped_ = true;
    } else if (errno != EINTR) {
      throw std::runtime_error(std::strerror(errno));
    }
  }
  return {
      .status = WIFEXITED(wait_status_) ? WEXITSTATUS(wait_status_)
                                        : 128 + WTERMSIG(wait_status_),
      .out = read_file(out_),
      .err = read_file(err_)};
}

bool Process::ended() {
  if (!reaped_) {
    reaped_ = ::waitpid(child_, &wait_status_, WNOHANG) == child_;
  }
  return reaped_;
}

}  // namespace gatedpaths::test
