// SPDX-License-Identifier: MIT
#include "flags.hpp"

#include "printable.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ostream>
#include <utility>

namespace cifar10 {
namespace {

class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_option_opts(const CLI::Option* option) const override {
    const auto type = option->get_type_name();
    return type.empty() ? "" : " " + type;
  }
  std::string make_option_desc(const CLI::Option* option) const override {
    const auto preset = option->get_default_str();
    const auto* gap = preset.size() > 20 ? "\n" : " ";
    return option->get_description() +
           (preset.empty() ? "" : fmt::format("{}[{}]", gap, preset));
  }
};

}  // namespace

CLI::Validator checked(Check check) { return {std::move(check), ""}; }

std::shared_ptr<CLI::Formatter> help_formatter() {
  auto formatter = std::make_shared<HelpFormatter>();
  formatter->column_width(28);
  return formatter;
}

void add_data_flags(CLI::App& app, DataRequest& data) {
  auto* folder = app.add_option(
      "--data",
      data.folder,
      "Folder with the CIFAR-10 binary files, or with\n"
      "their folder cifar-10-batches-bin");
  folder->type_name("DIR")->group("Data")->transform(
      checked(not_empty("the name of a folder")));
  auto* download = app.add_flag(
      "--download",
      data.download,
      "Get the official archive (170 MB) first; later\n"
      "runs find it. Without --data and any download,\n"
      "the images are a generated stand-in");
  download->group("Data")->excludes(folder);
  app.add_option("--download-url", data.archive.url, "Where to get it from")
      ->type_name("URL")
      ->group("Data")
      ->transform(checked(not_empty("a URL")))
      ->needs(download)
      ->capture_default_str();
  app.add_option("--download-md5", data.archive.md5, "Its checksum")
      ->type_name("MD5")
      ->group("Data")
      ->transform(checked(not_empty("a checksum")))
      ->needs(download)
      ->capture_default_str();
  app.add_option(
         "--limit",
         data.limit,
         "Use only the first N images of each set; 0: all")
      ->type_name("N")
      ->group("Data")
      ->transform(checked(whole_number(0)))
      ->capture_default_str();
}

std::optional<int> parse_flags(
    CLI::App& app,
    std::vector<std::string> arguments,
    const std::function<void()>& check,
    std::ostream& out,
    std::ostream& err) {
  // CLI11 takes them from the back.
  std::reverse(arguments.begin(), arguments.end());
  try {
    app.parse(std::move(arguments));
    check();
  } catch (const CLI::CallForHelp&) {
    out << app.help();
    return 0;
  } catch (const CLI::ParseError& error) {
    err << app.get_name() << ": " << printable(error.what())
        << "\nRun with --help for more information.\n";
    return 2;
  }
  return std::nullopt;
}

}  // namespace cifar10
