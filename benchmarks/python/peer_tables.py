# SPDX-License-Identifier: MIT
"""The tables that peers.py searches: what each net of NAS-Bench-Macro and
NAS-Bench-201 tells a searcher, and what is reported of it. The same as in
benchmarks/regret/tabular.cpp."""

from dataclasses import dataclass
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@dataclass
class Table:
    """Accuracies in percent, by the choices of all gates."""

    name: str
    choices: tuple  # how many, for each gate
    told: dict
    reported: dict

    def __post_init__(self):
        self.optimum = max(self.reported.values())
        # Of a searcher that has tried all nets, which goes by what it is told.
        self.least_regret = self.regrets([max(self.told, key=self.told.get)])[0]

    def regrets(self, trials):
        """After each trial: how much more the best net of the table reports than
        the best one, by what was told, of those tried."""
        found = []
        best = None
        for net in trials:
            if best is None or self.told[net] > self.told[best]:
                best = net
            found.append(self.optimum - self.reported[best])
        return found


def rows(name):
    text = (EXAMPLES / name / "table.txt").read_text("utf-8")
    return [line.split() for line in text.splitlines() if not line.startswith("#")]


def nas_bench_macro():
    """Its nets were trained three times, and there is no validation set: one
    training is told, the mean of the two others reported."""
    choices = (3,) * 8
    told, reported = {}, {}
    for row in rows("nas_bench_macro"):
        net = tuple(map(int, row[0]))
        told[net] = int(row[1]) / 100
        reported[net] = (int(row[2]) + int(row[3])) / 200
    return Table("nas_bench_macro", choices, told, reported)


def nas_bench_201():
    """CIFAR-10, after 12 epochs: the validation accuracy is told, the test
    accuracy reported."""
    told, reported = {}, {}
    for row in rows("nas_bench_201"):
        net = tuple(map(int, row[0]))
        told[net] = int(row[1]) / 1000
        reported[net] = int(row[2]) / 1000
    return Table("nas_bench_201", (5,) * 6, told, reported)


def tables():
    return [nas_bench_macro(), nas_bench_201()]
