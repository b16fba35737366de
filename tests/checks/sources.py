# SPDX-License-Identifier: MIT
"""The project's own C++ files, as the checks see them."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("include", "src", "examples", "tests", "benchmarks")


def cpp_files():
    """Paths of all C++ files below ROOT, relative to it, in order."""
    return sorted(
        path.relative_to(ROOT)
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".hpp", ".cpp") and path.is_file()
    )
