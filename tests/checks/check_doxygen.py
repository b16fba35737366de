#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Lets Doxygen find what is public and not documented, and links that lead nowhere.

Usage: check_doxygen.py DOXYGEN DOXYFILE
Exits with 77 (skipped) where there is no Doxygen.
"""

import re
import subprocess
import sys

from sources import ROOT


def silent_wings():
    """The folders of public headers that gatedpaths.hpp says nothing about."""
    include = ROOT / "include/gatedpaths"
    text = (include / "gatedpaths.hpp").read_text("utf-8")
    said = set(re.findall(r"^/// \\dir gatedpaths/(\w+)$", text, re.M))
    return sorted({path.name for path in include.iterdir() if path.is_dir()} - said)


def main():
    doxygen, doxyfile = sys.argv[1:]
    failed = False
    for wing in silent_wings():
        print(f"gatedpaths.hpp: expected a comment '\\dir gatedpaths/{wing}'")
        failed = True
    try:
        run = subprocess.run([doxygen, doxyfile], cwd=ROOT, check=False)
    except OSError as error:
        print(f"skipped: expected doxygen, got {error}")
        return failed or 77
    return failed or run.returncode != 0


if __name__ == "__main__":
    sys.exit(main())
