// SPDX-License-Identifier: MIT
#include "progress.hpp"

#include "output.hpp"
#include "printable.hpp"

#include <fmt/format.h>

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>

namespace cifar10 {
namespace {

constexpr double kBarSeconds = 0.1;
constexpr double kLineSeconds = 30;  // a sign of life in a log
constexpr auto kEraseLine = "\r\x1b[K";

bool takes_escape_codes(std::FILE* out) {
  const char* kind = std::getenv("TERM");
  return ::isatty(::fileno(out)) != 0 && kind != nullptr &&
         std::string_view(kind) != "" && std::string_view(kind) != "dumb";
}

int terminal_width(std::FILE* out) {
  winsize size{};
  const bool known = ::ioctl(::fileno(out), TIOCGWINSZ, &size) == 0;
  return known && size.ws_col > 0 ? size.ws_col : 80;
}

double seconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

std::string numbers_text(const ProgressState& state, double rate) {
  const auto left =
      rate > 0 ? clock_text(static_cast<double>(state.steps_left) / rate)
               : std::string("-:--");
  return fmt::format(
      "{:3.0f} %  {:.{}f} {}/s  {}{} left",
      std::floor(
          100.0 * static_cast<double>(state.step) /
          static_cast<double>(state.steps)),
      rate,
      rate > 0 && rate < 10 ? 1 : 0,
      state.unit,
      state.label.empty() ? fmt::format("loss {:.4f}  ", state.loss) : "",
      left);
}

std::string label_text(const ProgressState& state) {
  if (!state.label.empty()) {
    return state.label;
  }
  const auto digits = fmt::formatted_size("{}", state.epochs);
  return fmt::format("epoch {:{}}/{}", state.epoch, digits, state.epochs);
}

}  // namespace

std::string clock_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::ceil(seconds));
  const auto hours = whole / 3600;
  const auto minutes = whole / 60 % 60;
  return hours > 0 ? fmt::format("{}:{:02}:{:02}", hours, minutes, whole % 60)
                   : fmt::format("{}:{:02}", minutes, whole % 60);
}

std::string bar_text(const ProgressState& state, double rate, int width) {
  const auto before = label_text(state);
  const auto after = numbers_text(state, rate);
  // Brackets and spaces; and at the end room for the ^C of a terminal's echo,
  // which would wrap the line.
  const auto room = width - static_cast<int>(before.size() + after.size()) - 7;
  if (room < 5) {
    return (before + " " + after).substr(0, static_cast<std::size_t>(width));
  }
  const auto cells = static_cast<std::size_t>(std::min(room, 40));
  const auto full = cells * static_cast<std::size_t>(state.step) /
                    static_cast<std::size_t>(state.steps);
  return fmt::format(
      "{} [{}{}] {}",
      before,
      std::string(full, '#'),
      std::string(cells - full, '.'),
      after);
}

Progress::Progress(std::FILE* out)
    : out_(out),
      terminal_(takes_escape_codes(out)),
      since_(Clock::now()),
      last_line_(Clock::now()) {}

Progress::~Progress() {
  if (bar_shown_) {
    write_out(out_, kEraseLine);
  }
}

void Progress::step(const std::function<ProgressState()>& state) {
  ++steps_since_;
  const auto now = Clock::now();
  const auto elapsed = seconds(now - since_);
  if (elapsed < kBarSeconds) {
    return;
  }
  const auto latest = static_cast<double>(steps_since_) / elapsed;
  rate_ = rate_ > 0 ? rate_ + 0.1 * (latest - rate_) : latest;
  since_ = now;
  steps_since_ = 0;
  if (terminal_) {
    write_out(
        out_,
        fmt::format(
            "\r{}\x1b[K", bar_text(state(), rate_, terminal_width(out_))));
    bar_shown_ = true;
  } else if (seconds(now - last_line_) >= kLineSeconds) {
    const auto present = state();
    line(label_text(present) + ": " + numbers_text(present, rate_));
  }
}

void Progress::pause() {
  since_ = Clock::now();
  steps_since_ = 0;
}

void Progress::line(const std::string& text) {
  write_out(out_, (bar_shown_ ? kEraseLine : "") + printable(text) + '\n');
  bar_shown_ = false;
  last_line_ = Clock::now();
}

}  // namespace cifar10
