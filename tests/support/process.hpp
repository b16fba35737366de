// SPDX-License-Identifier: MIT
// Runs another program, with its output in files.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <sys/types.h>

namespace gatedpaths::test {

struct Finished {
  int status = 0;  // 128 + the signal where one ended it
  std::string out;
  std::string err;
};

/// A program under way. Its output goes to files in `folder`, which is also its
/// XDG_CACHE_HOME, so that it finds no data of the user.
class Process {
 public:
  Process(
      const std::vector<std::string>& command,
      const std::filesystem::path& folder);
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();

  /// Waits until `text` is in what it has printed. False: it ended, or did
  /// nothing of the kind for a minute.
  bool wait_for(const std::string& text);

  void send(int signal);
  void interrupt();

  /// Stops it, until SIGCONT, and waits until it stands still.
  void stop();

  pid_t id() const { return child_; }

  Finished wait();

 private:
  bool ended();

  std::filesystem::path out_;
  std::filesystem::path err_;
  pid_t child_ = 0;
  int wait_status_ = 0;
  bool reaped_ = false;
};

inline Finished run(
    const std::vector<std::string>& command,
    const std::filesystem::path& folder) {
  return Process(command, folder).wait();
}

}  // namespace gatedpaths::test
