#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Counts the instructions of a training step of the seed net, form by form, with
valgrind's callgrind: for differences that are smaller than a machine's noise.

Prints the instructions a step, each form against `bare`, and the library's forms
against what is written by hand. Caches are not looked at: what a step waits for
memory is in the times alone.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from report import BY_HAND, Results, print_forms, row_name

# The forms of closed_paths, and those of one_path.
ONE_PATH = ("bare", "hand_zero_fill", "derived", "derived_dense")
CLOSED_PATHS = (
    "bare",
    *sorted({form for pair in BY_HAND for form in pair if pair[0] not in ONE_PATH}),
)
STEP = "timed_step"  # in bench_closed_paths.cpp; the warm-up does not call it


def count(program, name, seconds):
    """Instructions of one step of the row `name`."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind.out"
        run = subprocess.run(
            [
                "valgrind",
                "--tool=callgrind",
                f"--callgrind-out-file={out}",
                f"--toggle-collect=*{STEP}*",
                program,
                "--filter",
                f"^{name}$",
                "--repetitions",
                "1",
                f"--benchmark_min_time={seconds}",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode != 0 or not out.exists():
            sys.exit(f"instructions: {name} failed:\n{run.stdout}{run.stderr}")
        return per_call(out.read_text("utf-8"), name)


def per_call(profile, name):
    """Instructions by the number of calls, from callgrind's file."""
    total = re.search(r"^(?:summary|totals): (\d+)", profile, re.MULTILINE)
    # "cfn=(7) name", or "cfn=(7)" once the name is known, then "calls=N ...".
    number_of = re.search(rf"^c?fn=\((\d+)\) .*{STEP}", profile, re.MULTILINE)
    calls = number_of and sum(
        int(found)
        for found in re.findall(
            rf"^cfn=\({number_of.group(1)}\)[^\n]*\ncalls=(\d+)",
            profile,
            re.MULTILINE,
        )
    )
    if not total or not calls:
        sys.exit(f"instructions: expected calls of {STEP} in the profile of {name}")
    return int(total.group(1)) / calls


def main():
    parser = argparse.ArgumentParser(description=" ".join(__doc__.split()))
    add = parser.add_argument
    add("--build", type=Path, required=True, help="build folder")
    add("--branches", type=int, nargs="+", default=[2, 8, 64], metavar="N")
    add("--batch", type=int, default=4)
    add("--seconds", type=float, default=2.0, help="of steps, under valgrind")
    add("--jobs", type=int, default=2)
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        sys.exit("instructions: expected valgrind, found none")
    program = options.build / "benchmarks" / "bench_closed_paths"

    names = [
        row_name("closed_paths", form, n, options.batch)
        for n in options.branches
        for form in CLOSED_PATHS
    ] + [row_name("one_path", form, 8, options.batch) for form in ONE_PATH]
    results = Results([])
    with ThreadPoolExecutor(options.jobs) as pool:
        counts = pool.map(lambda name: count(program, name, options.seconds), names)
        for name, found in zip(names, counts):
            results.values[name] = {"instructions": {0: found}}
    print_forms(results, "closed_paths", "Thousand instructions a training step",
                "instructions", 1e3, 0)
    print_forms(results, "one_path",
                "Thousand instructions a training step of one path alone",
                "instructions", 1e3, 0)


if __name__ == "__main__":
    main()
