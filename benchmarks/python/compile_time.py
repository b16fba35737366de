#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Times the compilation of a file that includes gatedpaths.hpp, and of one that
includes torch/nn.h, in turn.

With the flags of the build folder's own files, without precompiled headers and
without ccache. Counts instructions where perf can; else the time is the user
time of the compiler. Writes rows as Google Benchmark's JSON has them.
"""

import argparse
import json
import os
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

INCLUDES = {
    "torch_nn": "torch/nn.h",
    "gatedpaths": "gatedpaths/gatedpaths.hpp",
}
OWN_TARGET = "bench_wrappers.dir"  # its flags are taken


def compiler_flags(build):
    """The command that compiles OWN_TARGET's file, without its input, output and
    launcher."""
    commands = json.loads((build / "compile_commands.json").read_text("utf-8"))
    entry = next((c for c in commands if OWN_TARGET in c["command"]), None)
    if entry is None:
        sys.exit(f"compile_time: expected {OWN_TARGET} among the files of {build}")
    words = shlex.split(entry["command"])
    if Path(words[0]).name == "ccache":
        del words[0]
    flags = [words[0]]
    skip = False
    for word in words[1:]:
        if skip:
            skip = False
        elif word in ("-o", "-MF", "-MT", "-MQ", "-c"):
            skip = True
        elif word not in ("-MD", "-MMD", entry["file"]):
            flags.append(word)
    return flags


def can_count_instructions():
    if shutil.which("perf") is None:
        return False
    run = subprocess.run(
        ["perf", "stat", "-x,", "-e", "instructions:u", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return run.returncode == 0 and run.stderr.split(",")[0].isdigit()


def compile_once(command, count):
    """Real seconds, user seconds, and instructions where they are counted."""
    if count:
        command = ["perf", "stat", "-x,", "-e", "instructions:u", *command]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    start = time.perf_counter()
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    real = time.perf_counter() - start
    user = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    if run.returncode != 0:
        sys.exit(f"compile_time: failed: {shlex.join(command)}\n{run.stderr}")
    instructions = None
    if count:
        line = next(x for x in run.stderr.splitlines() if ",instructions" in x)
        instructions = int(line.split(",")[0])
    return real, user, instructions


def row(name, repetition, repetitions, real, user, instructions):
    result = {
        "name": f"compile/{name}",
        "run_name": f"compile/{name}",
        "run_type": "iteration",
        "repetitions": repetitions,
        "repetition_index": repetition,
        "iterations": 1,
        "real_time": real,
        "cpu_time": user,
        "time_unit": "s",
    }
    if instructions is not None:
        result["instructions"] = instructions
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--build", type=Path, help="build folder")
    parser.add_argument("--json", type=Path, help="write the rows there")
    parser.add_argument("--repetitions", type=int, default=5, metavar="N")
    parser.add_argument(
        "--quick", action="store_true", help="each once, and without code"
    )
    parser.add_argument("--list", action="store_true", help="names of the rows")
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"compile/{name}" for name in INCLUDES))
        return
    if options.build is None:
        parser.error("--build: expected the build folder")

    flags = compiler_flags(options.build)
    count = can_count_instructions()
    repetitions = 1 if options.quick else options.repetitions
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        commands = {}
        for name, header in INCLUDES.items():
            source = Path(folder) / f"{name}.cpp"
            source.write_text(f"#include <{header}>\n", "utf-8")
            commands[name] = [*flags, "-c", str(source), "-o", os.devnull]
            if options.quick:
                commands[name].append("-fsyntax-only")
        for repetition in range(repetitions):
            names = list(commands)
            for name in names if repetition % 2 == 0 else reversed(names):
                times = compile_once(commands[name], count)
                rows.append(row(name, repetition, repetitions, *times))
    for name in INCLUDES:
        user = [r["cpu_time"] for r in rows if r["name"] == f"compile/{name}"]
        print(f"compile/{name:<12} {statistics.median(user):8.2f} s of user time")
    if options.json:
        options.json.write_text(json.dumps({"benchmarks": rows}, indent=1), "utf-8")


if __name__ == "__main__":
    main()
