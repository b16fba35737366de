#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How well supernets of NAS-Bench-Macro rank its nets, by how their paths were drawn
and whether batch norm was measured anew for each path.

Runs examples/nas_bench_macro for each sampler, with each way of batch norm, and prints
Kendall's tau between the supernet and the published accuracies, with its bootstrap
interval, beside what FLOPs alone give and what one published training gives of another.
A run that was stopped goes on where it was.

    python3 benchmarks/python/supernet_ranking.py --program build/release/examples/nas_bench_macro/nas_bench_macro \\
        --data DIR --out DIR
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

SAMPLERS = ("uniform", "fair", "sandwich")
BATCH_NORM = {"measured for each path": 512, "as training left it": 0}


def interval(correlation):
    if None in correlation.values():  # all nets alike
        return "none"
    return "{value:.3f} ({low:.3f} to {high:.3f})".format(**correlation)


def run(options, folder, sampler, images):
    """Gives the report of a run; its supernet serves both ways of batch norm."""
    out = pathlib.Path(folder) / sampler
    command = [options.program, "--sampler", sampler, "--recalibrate", str(images)]
    command += ["--out", str(out), "--threads", str(options.threads)]
    if options.quick:
        command += "--limit 200 --width 0.125 --side 8 --epochs 1 --held-out 20".split()
        command += "--rank 30 --evaluations 10".split()
        command[4] = str(min(images, 8))
    else:
        command += ["--width", "0.25", "--side", "16", "--epochs", str(options.epochs)]
        command += ["--rank", str(options.rank)]
    if options.data:
        command += ["--data", options.data]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"expected {command} to end with 0, got {done.returncode}")
    print(done.stdout, file=sys.stderr)
    return json.loads((out / "report.json").read_text("utf-8"))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--program", required=True, help="nas_bench_macro")
    parser.add_argument("--out", help="folder for the runs; else a temporary one")
    parser.add_argument("--data", help="folder with CIFAR-10; made images without it")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rank", type=int, default=1000, help="random nets to rank")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="small: only to run it")
    options = parser.parse_args()

    if not options.data:
        print("No --data: made images. These figures mean nothing.")
    rows = []
    bounds = []
    with tempfile.TemporaryDirectory() as temporary:
        for sampler in SAMPLERS:
            for name, images in BATCH_NORM.items():
                report = run(options, options.out or temporary, sampler, images)
                by_loss, by_accuracy, *bounds = report["rankings"]
                rows.append((sampler, name, by_loss, by_accuracy))
    print("| paths | batch norm | tau, by loss | by accuracy | best tenth, by loss |")
    print("|---|---|---|---|---|")
    for sampler, name, by_loss, by_accuracy in rows:
        cells = [interval(by_loss["tau"]), interval(by_accuracy["tau"])]
        cells.append(interval(by_loss["tau of the best tenth"]))
        print(f"| {sampler} | {name} | {' | '.join(cells)} |")
    for bound in bounds:
        cells = [interval(bound["tau"]), "", interval(bound["tau of the best tenth"])]
        print(f"| {bound['by']} | | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
