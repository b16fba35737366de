// SPDX-License-Identifier: MIT
#include "tables.hpp"

#include "support/catch.hpp"

#include <cmath>
#include <sstream>

namespace cifar10 {
namespace {

PathAccuracy result(std::string path, double accuracy) {
  PathAccuracy made{.path = std::move(path), .accuracy = accuracy};
  made.classes.fill(accuracy);
  return made;
}

}  // namespace

TEST_CASE("tables: a row for each class, a column for each path", "[cifar10]") {
  auto b = result("b", 1.0);
  b.classes[9] = NAN;
  CHECK(
      accuracy_table({result("a", 0.625), b}, official_class_names()) ==
      "test accuracy, %      a      b\n"
      "airplane           62.5  100.0\n"
      "automobile         62.5  100.0\n"
      "bird               62.5  100.0\n"
      "cat                62.5  100.0\n"
      "deer               62.5  100.0\n"
      "dog                62.5  100.0\n"
      "frog               62.5  100.0\n"
      "horse              62.5  100.0\n"
      "ship               62.5  100.0\n"
      "truck              62.5      -\n"
      "all classes        62.5  100.0\n");
}

TEST_CASE("tables: more paths than fit make several tables", "[cifar10]") {
  std::vector<PathAccuracy> results;
  for (int i = 0; i < 11; ++i) {
    results.push_back(result("path" + std::to_string(i), 0.5));
  }
  const auto text = accuracy_table(results, official_class_names(), 80);
  std::istringstream lines(text);
  int titles = 0;
  for (std::string line; std::getline(lines, line);) {
    CHECK(line.size() <= 80);
    titles += line.starts_with("test accuracy") ? 1 : 0;
  }
  CHECK(titles == 2);
  CHECK_THAT(text, Catch::Matchers::ContainsSubstring("path10"));
}

}  // namespace cifar10
