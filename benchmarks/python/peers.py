#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The library beside others of its field, in one run: the same search on the same
tables, and the same supernet's training step in plain PyTorch.

Searches: the regret after 100 and 500 evaluations, and the time a trial, of the
strategies of bench_regret and of the searchers in peer_searchers.py that are
installed. Steps: milliseconds of macro_steps (in C++) and of macro_steps.py, in
rounds. What is not installed, or not built, is said.
"""

import argparse
import json
import logging
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from peer_searchers import PEERS
from peer_tables import tables
from report import table as as_table

HERE = Path(__file__).resolve().parent
REPORTED_AT = (100, 500)
# Not a strategy to compare by: tables have no shorter trainings, so that what a
# short one tells it is better than it can be.
BOUNDS = ("SuccessiveHalving",)
WARM_UP_TRIALS = 15
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# As benchmarks/support/program.hpp's keep_freed_memory, for both languages.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": "2147483647",
    "MALLOC_TRIM_THRESHOLD_": "2147483647",
    "MALLOC_TOP_PAD_": str(1 << 28),
}

# ---- Searches ----


# Peers that this process has imported, and run before it takes their time.
_ran_here = set()


def search_once(task):
    """Regrets at REPORTED_AT, and seconds a trial of this thread's own time."""
    logging.disable(logging.WARNING)
    table_index, peer_index, seed, evaluations = task
    table, peer = tables()[table_index], PEERS[peer_index]
    trials = []

    def accuracy(net):
        net = tuple(map(int, net))
        trials.append(net)
        return table.told[net]

    if peer.name not in _ran_here:
        _ran_here.add(peer.name)
        peer.search(table.choices, table.told.__getitem__, WARM_UP_TRIALS, 0)
    start = time.thread_time()
    peer.search(table.choices, accuracy, evaluations, seed)
    seconds = time.thread_time() - start
    if len(trials) < evaluations:
        # No sys.exit: it would end this process, and the pool would wait for ever.
        raise RuntimeError(
            f"peers: {peer.name}: expected {evaluations} trials, got {len(trials)}"
        )
    regrets = table.regrets(trials[:evaluations])
    return {
        "regrets": {at: regrets[at - 1] for at in REPORTED_AT if at <= evaluations},
        "seconds": seconds / len(trials),
        "distinct": len(set(trials[:evaluations])),
    }


def peer_rows(options):
    """By table and searcher; what is not installed is said, and left out."""
    installed = [i for i, peer in enumerate(PEERS) if peer.version() is not None]
    for package in dict.fromkeys(peer.package for peer in PEERS):
        version = next(p.version() for p in PEERS if p.package == package)
        print(f"{package}: {version or 'not installed, left out'}")
    names = [table.name for table in tables()]
    tasks = [
        (table, peer, seed, options.evaluations)
        for seed in range(1, options.seeds + 1)
        for table in range(len(names))
        for peer in installed
    ]
    found = {name: {} for name in names}
    # Threads that a package has started do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with context.Pool(options.processes) as pool:
        for task, result in zip(tasks, pool.imap(search_once, tasks)):
            row = found[names[task[0]]].setdefault(PEERS[task[1]].name, [])
            row.append(result)
    return {
        name: {peer: summary(runs) for peer, runs in searchers.items()}
        for name, searchers in found.items()
    }


def summary(runs):
    row = {
        f"regret_at_{at}": [run["regrets"][at] for run in runs]
        for at in runs[0]["regrets"]
    }
    row["seconds_per_trial"] = statistics.median(run["seconds"] for run in runs)
    row["distinct"] = statistics.median(run["distinct"] for run in runs)
    return row


def own_rows(options):
    """Of bench_regret, by table and strategy."""
    if options.regret is None:
        print("bench_regret: not given (--regret), left out")
        return {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "regret.json"
        command = [
            options.regret,
            *("--seeds", options.seeds),
            *("--evaluations", options.evaluations),
            *("--threads", options.processes),
            *("--json", file),
        ]
        run = subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode != 0:
            sys.exit(f"peers: {options.regret} failed:\n{run.stdout}{run.stderr}")
        content = json.loads(file.read_text("utf-8"))
    rows = {}
    for table in tables():
        theirs = content["tables"][table.name]
        if abs(theirs["optimum"] - table.optimum) > 1e-9:
            sys.exit(
                f"peers: {table.name}: expected the optimum {table.optimum}, got "
                f"{theirs['optimum']} from {options.regret}"
            )
        rows[table.name] = theirs["strategies"]
    return rows


def run_searches(options):
    peers = peer_rows(options)
    own = own_rows(options)
    return {
        table.name: {
            "optimum": table.optimum,
            "least_regret": table.least_regret,
            "gatedpaths": own.get(table.name, {}),
            "peers": peers[table.name],
        }
        for table in tables()
    }


def quartiles(values):
    if len(values) == 1:
        return values * 3
    return statistics.quantiles(values, n=4, method="inclusive")


def best(rows, key):
    """The least median of those rows, and whose it is."""
    medians = {
        name: statistics.median(row[key])
        for name, row in rows.items()
        if name not in BOUNDS and key in row
    }
    return min(((value, name) for name, value in medians.items()), default=None)


def ratio(value, base):
    if base:
        return value / base
    return 1.0 if value == 0 else float("inf")


def search_bars(searches):
    """(What, ours, whose, the best peer's, whose, their ratio)."""
    bars = []
    for name, found in searches.items():
        for at in REPORTED_AT:
            ours = best(found["gatedpaths"], f"regret_at_{at}")
            theirs = best(found["peers"], f"regret_at_{at}")
            if ours and theirs:
                bars.append(
                    {
                        "table": name,
                        "evaluations": at,
                        "ours": ours[0],
                        "our_best": ours[1],
                        "peers": theirs[0],
                        "best_peer": theirs[1],
                        "ratio": ratio(ours[0], theirs[0]),
                    }
                )
    return bars


def print_searches(searches, options):
    for name, found in searches.items():
        if not found["gatedpaths"] and not found["peers"]:
            continue
        print(
            f"\n{name}: regret in percent, median (quartiles), of {options.seeds} "
            f"seeds; the best net reports {found['optimum']:.3f}, and the best by "
            f"what is told has a regret of {found['least_regret']:.3f}\n"
        )
        lines = []
        for rows in (found["gatedpaths"], found["peers"]):
            for searcher, row in rows.items():
                line = [searcher + (" (a bound)" if searcher in BOUNDS else "")]
                for at in REPORTED_AT:
                    values = row.get(f"regret_at_{at}")
                    if values is None:
                        line += ["", ""]
                        continue
                    low, middle, high = quartiles(values)
                    line.append(f"{middle:.3f} ({low:.3f} to {high:.3f})")
                    line.append(f"{statistics.fmean(values):.3f}")
                line.append(f"{row['seconds_per_trial'] * 1e6:,.0f}")
                lines.append(line)
        header = ["searcher"]
        for at in REPORTED_AT:
            header += [f"at {at}", "mean"]
        print(as_table([*header, "us a trial"], lines))
    bars = search_bars(searches)
    if bars:
        print("\nThe least median regret, ours / the best peer's\n")
        print(
            as_table(
                ["table", "evaluations", "ours", "", "best peer", "", "ratio"],
                [
                    [
                        bar["table"],
                        str(bar["evaluations"]),
                        f"{bar['ours']:.3f}",
                        bar["our_best"],
                        f"{bar['peers']:.3f}",
                        bar["best_peer"],
                        f"{bar['ratio']:.3f}",
                    ]
                    for bar in bars
                ],
            )
        )


# ---- Steps ----

# Nets for a step each. With gates, closed branches go on by their momentum; so
# only the first of those is what the other forms have, and the second, which has
# moved by what the first step made of it.
CHECKED = ("01201201", "22222222", "00000000", "12121212", "01201201")
CHECKED_WITH_GATES = 2


class Worker:
    """A process that makes steps of one form."""

    def __init__(self, command):
        self.command = [str(word) for word in command]
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **ONE_THREAD, **KEEP_MEMORY},
        )

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"peers: {' '.join(self.command)} failed at '{line}'")
        return [float(word) for word in answer.split()]

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def check_losses(workers):
    """Holds the losses of a few steps against those in C++."""
    expected = [workers["gatedpaths"].ask(f"step {net}")[0] for net in CHECKED]
    for form, worker in workers.items():
        if form == "gatedpaths":
            continue
        count = CHECKED_WITH_GATES if form == "pytorch gates" else len(CHECKED)
        for net, wanted in zip(CHECKED[:count], expected):
            (got,) = worker.ask(f"step {net}")
            if abs(got - wanted) > 1e-4 * abs(wanted):
                sys.exit(
                    f"peers: {form}: expected the loss {wanted} at net {net}, got {got}"
                )


def run_steps(options):
    if options.steps is None:
        print("macro_steps: not given (--steps), left out")
        return {}
    try:
        import macro_steps
        import torch
    except ImportError as error:
        print(f"the step in PyTorch: left out ({error})")
        return {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "start.safetensors"
        macro_steps.write_start(file, options.width, options.batch, options.side)
        workers = {"gatedpaths": Worker([options.steps, file, options.width])}
        for form in macro_steps.FORMS:
            workers[f"pytorch {form}"] = Worker(
                [sys.executable, HERE / "macro_steps.py", file, options.width, form]
            )
        check_losses(workers)
        seconds = {form: {"wall": [], "cpu": []} for form in workers}
        for worker in workers.values():
            worker.ask(f"steps {options.steps_a_round}")  # to warm up
        for _ in range(options.rounds):
            forms = list(workers)
            random.shuffle(forms)
            for form in forms:
                wall, cpu = workers[form].ask(f"steps {options.steps_a_round}")
                seconds[form]["wall"].append(wall / options.steps_a_round)
                seconds[form]["cpu"].append(cpu / options.steps_a_round)
        for worker in workers.values():
            worker.close()
    print(f"\nPyTorch: {torch.__version__}")
    return seconds


def print_steps(seconds, options):
    if not seconds:
        return
    print(
        f"\nA training step, one thread: width {options.width}, batch "
        f"{options.batch}, {options.side} x {options.side} pixels, {options.rounds} "
        f"rounds of {options.steps_a_round} steps\n"
    )
    ours = seconds["gatedpaths"]
    lines = []
    for form, entry in seconds.items():
        line = [form]
        for clock in ("wall", "cpu"):
            line.append(f"{statistics.median(entry[clock]) * 1e3:.1f}")
            ratios = [a / b for a, b in zip(ours[clock], entry[clock])]
            line.append(f"{statistics.median(ratios):.3f}")
        lines.append(line)
    header = ["form", "ms", "ours / this", "ms of its thread", "ours / this"]
    print(as_table(header, lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    add = parser.add_argument
    add("--regret", type=Path, metavar="PROGRAM", help="bench_regret as built")
    add("--steps", type=Path, metavar="PROGRAM", help="macro_steps as built")
    add("--only", choices=("searches", "steps"), help="these alone")
    add("--json", type=Path, help="all figures go there")
    add("--quick", action="store_true", help="one seed, one round, small images")
    add("--seeds", type=int, default=20, metavar="N", help="searches of each")
    add("--evaluations", type=int, default=500, metavar="N", help="of each search")
    add("--processes", type=int, default=2, metavar="N", help="that search")
    add("--width", type=float, default=0.5, metavar="W", help="of the supernet")
    add("--batch", type=int, default=16, metavar="N", help="images a step")
    add("--side", type=int, default=32, metavar="N", help="pixels of an image")
    add("--rounds", type=int, default=15, metavar="N", help="of the steps")
    add("--steps-a-round", type=int, default=20, metavar="N", help="of each form")
    options = parser.parse_args()
    if options.quick:
        options.seeds = options.rounds = options.steps_a_round = 1
        options.evaluations = 100
        options.width, options.batch, options.side = 0.125, 4, 8
    random.seed(0)
    os.environ.update(ONE_THREAD)
    content = {"settings": {key: str(value) for key, value in vars(options).items()}}
    if options.only != "steps":
        content["versions"] = {peer.package: peer.version() for peer in PEERS}
        content["searches"] = run_searches(options)
        content["bars"] = search_bars(content["searches"])
        print_searches(content["searches"], options)
    if options.only != "searches":
        content["steps"] = run_steps(options)
        print_steps(content["steps"], options)
    if options.json:
        options.json.write_text(json.dumps(content, indent=1), "utf-8")


if __name__ == "__main__":
    main()
