#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares every C++ file with what the pinned clang-format makes of it.

Usage: check_format.py CLANG_FORMAT [--fix]
Exits with 77 (skipped) where that is not the pinned version.
"""

import subprocess
import sys

from sources import ROOT, cpp_files

VERSION = "18.1.8"


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else "clang-format"
    try:
        found = subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        found = "none"
    if f"version {VERSION}" not in found:
        print(f"skipped: expected clang-format {VERSION}, got {found}")
        return 77
    mode = ["-i"] if "--fix" in sys.argv[2:] else ["--dry-run", "--Werror"]
    command = [program, *mode, "--style=file", *map(str, cpp_files())]
    return subprocess.run(command, cwd=ROOT, check=False).returncode != 0


if __name__ == "__main__":
    sys.exit(main())
