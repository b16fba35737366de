#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Rules for source files that no compiler checks."""

import os
import re
import sys

from sources import ROOT, cpp_files

SPDX = "SPDX-License-Identifier: MIT"
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)
TEST_NAME = re.compile(r'TEST_CASE\(\s*((?:"[^"]*"\s*)+)')
CATCH_HEADER = "tests/support/catch.hpp"
# What brings Catch2's CHECK along; its listeners do not.
CATCH_MACROS = re.compile(r"catch2/(?!reporters/|catch_test_case_info)")

# What a public header has to include itself for what it names, since the check
# that compiles it alone has these precompiled.
OWN_INCLUDES = {
    "ATen/core/Tensor.h": re.compile(r"\b(?:at|torch)::Tensor\b"),
    "torch/nn/cloneable.h": re.compile(r"\bCloneable<"),
    "torch/nn/module.h": re.compile(r"\bnn::Module\b"),
    "torch/nn/pimpl.h": re.compile(r"\bModuleHolder<"),
}


def missing_includes(text):
    """Yields (line number, LibTorch's header) for what a header leaves to others."""
    included = {match.group(1) for match in INCLUDE.finditer(text)}
    if any(header.startswith("torch/") for header in included):
        included.add("ATen/core/Tensor.h")  # which comes with all of torch/
    if "torch/nn/cloneable.h" in included:
        included.add("torch/nn/module.h")
    for header, names in OWN_INCLUDES.items():
        if header in included:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            if names.search(line.split("//")[0]):
                yield number, header
                break


# The wings of include/gatedpaths/ and src/, by height: a file includes headers of
# its own wing and of lower ones, and none of a wing beside or above it.
HEIGHTS = {
    "text": 1,
    "random": 1,
    "branches": 2,
    "slots": 3,
    "gates": 4,
    "depth": 5,
    "paths": 5,
    "exchange": 6,
    "training": 6,
    "search": 7,
    "learning": 7,
    "distributed": 8,
}
WING = re.compile(r"(?:^|/)(?:include/gatedpaths|src)/([a-z]+)/")


def wing_of(path):
    """The wing that a file or an include's target lies in, or None."""
    match = WING.search(path)
    return match and match.group(1)


def arrow_up(name, target):
    """Says what is wrong with an include of `target` by the file `name`, if it is."""
    own = wing_of(name)
    if target.startswith("gatedpaths/"):
        other = wing_of("include/" + target)
    else:
        other = wing_of(os.path.normpath(os.path.join(os.path.dirname(name), target)))
    if own is None or other is None or own == other:
        return None
    for wing in (own, other):
        if wing not in HEIGHTS:
            return f"expected one of ({', '.join(HEIGHTS)}) as the wing, got '{wing}'"
    if HEIGHTS[other] < HEIGHTS[own]:
        return None
    return f"expected includes of lower wings than {own}/, got {target}"


def problems_in(name, text):
    """Yields (line number, message) for one file."""
    lines = text.splitlines()
    if not lines or lines[0] != f"// {SPDX}":
        yield 1, f"expected the first line to be '// {SPDX}'"
    if name.endswith(".hpp") and "#pragma once" not in lines:
        yield 1, "expected '#pragma once'"
    for case in TEST_NAME.finditer(text):
        if set(case.group(1)) & set("[];"):
            number = text.count("\n", 0, case.start()) + 1
            yield number, "a test name has no '[', ']' or ';': CMake's lists break at it"
    public = name.startswith("include/")
    if public and "/detail/" not in name:
        for number, header in missing_includes(text):
            yield number, f"expected its own #include <{header}> for what it names"
    for number, line in enumerate(lines, start=1):
        if public and re.match(r"\s*using\s+namespace\b", line):
            yield number, "a public header has no 'using namespace'"
        match = INCLUDE.match(line)
        if not match:
            continue
        target = match.group(1)
        arrow = arrow_up(name, target)
        if arrow:
            yield number, arrow
        if CATCH_MACROS.match(target) and name != CATCH_HEADER:
            yield number, (
                f"<{target}> comes through {CATCH_HEADER}: a failing CHECK would "
                "be LibTorch's otherwise, which aborts"
            )
        if public and target == "torch/torch.h":
            yield number, "a public header includes LibTorch's narrow headers"
        if public and target.startswith("fmt/"):
            yield number, "fmt stays out of public headers"


# Folder, pattern of the files in it, and the file whose lists name them all.
LISTS = (
    ("include/gatedpaths", "*.hpp", "src/CMakeLists.txt"),
    ("src", "*.cpp", "src/CMakeLists.txt"),
    ("src", "**/*.cpp", "include/gatedpaths/src.hpp"),
    ("tests/unit", "*.cpp", "tests/unit/CMakeLists.txt"),
    ("examples", "*.cpp", "examples/CMakeLists.txt"),
    ("benchmarks", "*.cpp", "benchmarks/CMakeLists.txt"),
)

# The same for each wing, of which some have no public headers or no tests.
WING_LISTS = (
    ("include/gatedpaths/{}", "**/*.hpp", "src/{}/CMakeLists.txt"),
    ("src/{}", "*.cpp", "src/{}/CMakeLists.txt"),
    ("tests/unit/{}", "*.cpp", "tests/unit/{}/CMakeLists.txt"),
)


def words_of(path):
    """What stands in a list of files, without the folders before a file's name."""
    words = path.read_text("utf-8").split() if path.is_file() else []
    folders = re.compile(r"^(?:\$\{include_dir\}/|gatedpaths/src/)")
    return {folders.sub("", word.strip('"<>)')) for word in words}


def unlisted():
    """Yields (file, list) where a file would not be built or installed."""
    lists = list(LISTS)
    for wing in sorted(path.name for path in (ROOT / "src").iterdir() if path.is_dir()):
        lists += [[text.format(wing) for text in texts] for texts in WING_LISTS]
    for folder, pattern, build_file in lists:
        listed = words_of(ROOT / build_file)
        for path in sorted((ROOT / folder).glob(pattern)):
            if path.relative_to(ROOT / folder).as_posix() not in listed:
                yield path.relative_to(ROOT).as_posix(), build_file


# A namespace without a name, as clang-format writes it, and what is declared there.
HIDDEN = re.compile(r"^namespace \{$(.*?)^\}  // namespace$", re.MULTILINE | re.DOTALL)
HIDDEN_NAME = re.compile(
    r"^(?!using [\w:]+;|namespace|template|[}/#\s])[^(={;]*?(\w+) *(?:[({=;]| : )",
    re.MULTILINE,
)


def repeated_names():
    """Yields (file, name, other file) for names that would meet in one unit."""
    owners = {}
    for path in sorted((ROOT / "src").glob("**/*.cpp")):
        name = path.relative_to(ROOT).as_posix()
        for part in HIDDEN.findall(path.read_text("utf-8")):
            for match in HIDDEN_NAME.finditer(part):
                if owners.setdefault(match.group(1), name) != name:
                    yield name, match.group(1), owners[match.group(1)]


def main():
    files = cpp_files()
    failed = False
    for name, repeated, other in repeated_names():
        print(f"{name}:1: expected a name other than '{repeated}', which {other} has")
        failed = True
    for name, build_file in unlisted():
        print(f"{name}:1: expected its name in {build_file}")
        failed = True
    for path in files:
        name = path.as_posix()
        for number, message in problems_in(name, (ROOT / path).read_text("utf-8")):
            print(f"{name}:{number}: {message}")
            failed = True
    scripts = [
        path
        for pattern in (
            "**/CMakeLists.txt",
            "**/*.cmake",
            "**/*.py",
            "**/*.sh",
            "**/run",
            "tests/bare_*",
        )
        for path in ROOT.glob(pattern)
        if path.relative_to(ROOT).parts[0] not in ("build", ".git")
    ]
    for path in scripts:
        if SPDX not in path.read_text("utf-8")[:200]:
            print(f"{path.relative_to(ROOT)}:1: expected '# {SPDX}'")
            failed = True
    print(f"{len(files) + len(scripts)} files checked")
    return failed


if __name__ == "__main__":
    sys.exit(main())
