#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every C++ block of the two READMEs is a region of an example that the tests run.

A block is named by the comment before it,

    <!-- example: examples/01_gate.cpp [net] -->

and has to equal what stands in that file between two lines `//! [net]`, apart
from the indentation that all of its lines share. A block after the comment

    <!-- output: examples/01_gate.output -->

has to equal that file, which the example's test compares with what it prints.
"""

import re
import sys
import textwrap

from sources import ROOT

DOCUMENTS = ("README.md", "examples/README.md")
FENCE = re.compile(r"^```(?:cpp|c\+\+|cc|C\+\+)\s*$")
OUTPUT = re.compile(r"^<!-- output: (\S+) -->$\n+```\w*\n(.*?)^```$", re.M | re.S)
COMMENT = re.compile(r"^<!-- example: (\S+) \[([^\]]+)\] -->$")


def blocks(text):
    """Yields (line number, comment line before it, body) of each C++ block."""
    lines = text.splitlines()
    start = None
    for index, line in enumerate(lines):
        if start is None and FENCE.match(line):
            start = index
        elif start is not None and line == "```":
            before = [other for other in lines[:start] if other.strip()]
            yield start + 1, before[-1] if before else "", lines[start + 1 : index]
            start = None
    if start is not None:
        yield start + 1, "", lines[start + 1 :]


def region(text, name):
    """The lines between the two markers, or None."""
    lines = text.splitlines()
    marks = [i for i, line in enumerate(lines) if line.strip() == f"//! [{name}]"]
    if len(marks) != 2:
        return None
    return lines[marks[0] + 1 : marks[1]]


def normal(lines):
    return textwrap.dedent("\n".join(line.rstrip() for line in lines)).strip("\n")


def problem_of(comment, body):
    """What is wrong with one block, or None."""
    match = COMMENT.match(comment.strip())
    if not match:
        return "expected '<!-- example: FILE [REGION] -->' before the C++ block"
    file, name = match.groups()
    if not (ROOT / file).is_file():
        return f"there is no {file}"
    lists = (ROOT / file).parent / "CMakeLists.txt"
    if not lists.is_file() or (ROOT / file).name not in lists.read_text("utf-8"):
        return f"{file} is in no list of a CMakeLists.txt beside it, so it is not run"
    source = region((ROOT / file).read_text("utf-8"), name)
    if source is None:
        return f"expected two lines '//! [{name}]' in {file}"
    if normal(source) != normal(body):
        return f"the block differs from region [{name}] of {file}"
    return None


def problems_in(text):
    """Yields (line number, what is wrong or None) for each block that is checked."""
    for number, comment, body in blocks(text):
        yield number, problem_of(comment, body)
    for match in OUTPUT.finditer(text):
        file, body = match.groups()
        equal = (ROOT / file).is_file() and (ROOT / file).read_text("utf-8") == body
        number = text.count("\n", 0, match.start()) + 1
        yield number, None if equal else f"the block differs from {file}"


def main():
    failed = False
    count = 0
    for document in DOCUMENTS:
        for number, problem in problems_in((ROOT / document).read_text("utf-8")):
            count += 1
            if problem:
                print(f"{document}:{number}: {problem}")
                failed = True
    print(f"{count} blocks checked")
    return failed


if __name__ == "__main__":
    sys.exit(main())
