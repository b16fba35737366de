#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Puts the results of all benchmark programs into one file, prints them as
tables with the bars that they have to reach, and draws time against the number
of paths."""

import argparse
import json
import re
import statistics
import sys
from pathlib import Path

FORMS = (
    "bare",
    "hand_mask",
    "hand_no_grad",
    "hand_zero_fill",
    "hand_zeros_like",
    "no_grad",
    "zero_fill_dense",
    "slots",
    "derived",
    "derived_dense",
)
# A form of the library, and what one would write by hand in its place.
BY_HAND = (
    ("no_grad", "hand_no_grad"),
    ("zero_fill_dense", "hand_zero_fill"),
    ("slots", "hand_zero_fill"),
    ("derived", "bare"),
    ("derived_dense", "hand_zero_fill"),
)
NANOSECONDS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}


class Results:
    """Repetitions by row name. Times are in nanoseconds; those of one thread are
    of its own, where `cpu_time` asks for that."""

    def __init__(self, rows, cpu_time=False):
        self.values = {}  # name: {key: {repetition: value}}
        for row in rows:
            if row.get("run_type", "iteration") != "iteration":
                continue
            entry = self.values.setdefault(row["name"], {})
            index = row.get("repetition_index", 0)
            scale = NANOSECONDS[row["time_unit"]]
            one_thread = not re.search(r"threads:(?!1$)", row["name"])
            time = "cpu_time" if cpu_time and one_thread else "real_time"
            entry.setdefault("time", {})[index] = row[time] * scale
            entry.setdefault("cpu_time", {})[index] = row["cpu_time"] * scale
            for key in (
                "peak_bytes", "first_peak_bytes", "bound_bytes", "instructions"
            ):
                if key in row:
                    entry.setdefault(key, {})[index] = row[key]

    def get(self, name, key="time"):
        """The median over the repetitions."""
        found = self.values.get(name, {}).get(key)
        return statistics.median(found.values()) if found else None

    def ratio(self, name, base, key="time"):
        """The median over the rounds of the ratio within a round; between rows of
        different programs the ratio of the medians."""
        a = self.values.get(name, {}).get(key)
        b = self.values.get(base, {}).get(key)
        if not a or not b:
            return None
        if name.split("/")[0] != base.split("/")[0]:
            return self.get(name, key) / self.get(base, key)
        ratios = [a[i] / b[i] for i in a.keys() & b.keys() if b[i]]
        return statistics.median(ratios) if ratios else None

    def settings(self, topic):
        """All (batch, width, threads) of a topic, and the branches of each."""
        pattern = re.compile(
            rf"{topic}/[^/]+/branches:(\d+)/batch:(\d+)/width:(\d+)/threads:(\d+)"
        )
        found = {}
        for name in self.values:
            match = pattern.fullmatch(name)
            if match:
                branches, *rest = map(int, match.groups())
                found.setdefault(tuple(rest), set()).add(branches)
        return {key: sorted(found[key]) for key in sorted(found)}


def row_name(topic, form, branches, batch, width=1, threads=1):
    return (
        f"{topic}/{form}/branches:{branches}/batch:{batch}"
        f"/width:{width}/threads:{threads}"
    )


# ---- Tables ----


def table(header, rows):
    cells = [header, *rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]

    def line(row):
        first = row[0].ljust(widths[0])
        rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))
        return "| " + " | ".join([first, *rest]) + " |"

    rule = "|" + "|".join("-" * (w + 1) + (":" if i else "-")
                          for i, w in enumerate(widths)) + "|"
    return "\n".join([line(header), rule, *map(line, rows)])


def number(value, scale, digits):
    return "" if value is None else f"{value / scale:,.{digits}f}"


def ratio_text(value):
    return "" if value is None else f"{value:.3f}"


def form_table(results, topic, key, scale, digits, setting, branches):
    """Each form against bare, then the library's against the hand-written."""
    rows = []
    for form in FORMS:
        row = [form]
        for n in branches:
            name = row_name(topic, form, n, *setting)
            bare = row_name(topic, "bare", n, *setting)
            value = number(results.get(name, key), scale, digits)
            ratio = results.ratio(name, bare, key)
            row.append(f"{value} ({ratio:.2f})" if ratio else value)
        if any(row[1:]):
            rows.append(row)
    for form, hand in BY_HAND:
        row = [f"{form} / {hand}"]
        for n in branches:
            row.append(
                ratio_text(
                    results.ratio(
                        row_name(topic, form, n, *setting),
                        row_name(topic, hand, n, *setting),
                        key,
                    )
                )
            )
        if any(row[1:]):
            rows.append(row)
    return table(["N =", *map(str, branches)], rows)


def print_forms(results, topic, title, key, scale, digits):
    for setting, branches in results.settings(topic).items():
        batch, width, threads = setting
        print(
            f"\n{title}, batch {batch}, width {width}, "
            f"{threads} thread{'s' if threads > 1 else ''} (ratio to bare)\n"
        )
        print(form_table(results, topic, key, scale, digits, setting, branches))


def print_python(results):
    rows = []
    for (batch, width, threads), branches in results.settings("python").items():
        for n in branches:
            for form in ("bare", "mask", "no_grad", "zero_fill", "zeros_like"):
                cpp = form if form == "bare" else f"hand_{form}"
                cpp = row_name("closed_paths", cpp, n, batch, width, threads)
                for prefix in ("", "compiled_"):
                    name = row_name(
                        "python", prefix + form, n, batch, width, threads
                    )
                    if results.get(name) is None:
                        continue
                    rows.append([
                        prefix + form,
                        str(n),
                        str(batch),
                        number(results.get(name), 1e3, 0),
                        number(results.get(cpp), 1e3, 0),
                        ratio_text(results.ratio(name, cpp)),
                    ])
    if rows:
        print("\nA step in Python and in C++, microseconds\n")
        print(table(["form", "N", "batch", "Python", "C++", "ratio"], rows))


def print_others(results):
    rows = []
    for topic, unit, scale in (
        ("several_open", "us", 1e3),
        ("per_sample", "us", 1e3),
        ("stochastic_depth", "ms", 1e6),
        ("learned", "us", 1e3),
        ("known_shapes", "us", 1e3),
        ("evaluation", "ms", 1e6),
        ("evaluation_sets", "ms", 1e6),
        ("search", "ns", 1.0),
        ("exchange", "ms", 1e6),
        ("wrappers", "ns", 1.0),
        ("bookkeeping", "ns", 1.0),
        ("compile", "s", 1e9),
        ("epoch", "s", 1e9),
    ):
        for name in sorted(results.values):
            if name.startswith(topic + "/"):
                rows.append([name, number(results.get(name), scale, 2), unit])
    if rows:
        print("\nOther rows\n")
        print(table(["row", "median", "unit"], rows))


# ---- Bars ----


def worst(values):
    """The largest, if none is missing."""
    values = list(values)
    return max(values) if values and None not in values else None


def worst_ratio(results, topic, form, base, settings, key="time"):
    return worst(
        results.ratio(row_name(topic, form, *s), row_name(topic, base, *s), key)
        for s in settings
    )


def per_sample_bars(results):
    def row(form, keep, channels):
        return f"per_sample/{form}/keep:{keep}/channels:{channels}/batch:64"

    def part(keep):
        ratios = [
            results.ratio(row("library", keep, c), row("plain", 100, c))
            for c in (32, 128)
        ]
        return worst(None if r is None else r * 100 / keep for r in ratios)

    bars = [
        (f"samples of {keep} %: step / ({keep / 100:.2f} x the whole step)",
         part(keep), most)
        for keep, most in ((25, 1.15), (50, 1.08), (75, 1.05))
    ]
    bars.append((
        "all samples by a mask / the open branch",
        worst(results.ratio(row("library", 100, c), row("open", 100, c))
              for c in (32, 128)),
        1.03,
    ))
    return bars


def stochastic_depth_bars(results):
    def ratio(form, base):
        name = "stochastic_depth/{}/blocks:16"
        return results.ratio(name.format(form), name.format(base))

    return [
        ("stochastic depth by subset at 0.4 / no drop",
         ratio("subset", "no_drop"), 0.68),
        ("stochastic depth by batch, linear to 0.5 / no drop",
         ratio("batch_linear", "no_drop"), 0.80),
        ("stochastic depth by row / by hand", ratio("row", "hand_row"), 1.03),
    ]


def learned_bars(results):
    name = "learned/{}/branches:{}"
    growth = worst(
        results.ratio(name.format(form, 32), name.format(form, 8), "peak_bytes")
        for form in ("gumbel", "two_path")
    )
    return [
        ("Gumbel, N 8 / one branch called directly",
         results.ratio(name.format("gumbel", 8), name.format("direct_one", 8)),
         1.10),
        ("two-path gates, N 8 / two branches called directly",
         results.ratio(name.format("two_path", 8), name.format("direct_two", 8)),
         1.10),
        ("peak memory of these two, N 32 / N 8", growth, 1.02),
    ]


def evaluation_bars(results):
    def row(form):
        return f"evaluation/{form}/blocks:6"

    stages = row("stages")
    peak = results.get(stages, "peak_bytes")
    return [
        ("all paths of a 6 x 3 chain, in stages / one after the other",
         results.ratio(stages, row("hand_plain")), 0.30),
        ("all paths of a 6 x 3 chain, in stages / a walk by hand",
         results.ratio(stages, row("hand")), 1.03),
        ("its peak memory / plain and one activation a block",
         peak and peak / results.get(stages, "bound_bytes"), 1.02),
        ("all sets of 8 branches, each run once / one after the other",
         results.ratio("evaluation_sets/stages/branches:8",
                       "evaluation_sets/hand_plain/branches:8"), 0.30),
    ]


def search_bars(results):
    cost = results.get("search/cost_of/gates:64")
    return [
        ("the cost of a path, 64 gates of 8, microseconds", cost and cost / 1e3, 5),
        ("a draw within a budget / among all, 64 gates of 8",
         results.ratio("search/budget_draw/gates:64",
                       "search/uniform_draw/gates:64"), 30),
    ]


def bars(results):
    """(what, figure or None where not measured, the most that it may be)"""
    every_n = (2, 4, 8, 16, 32, 64)
    both = [(n, batch) for n in (2, 8) for batch in (4, 64)]
    wrapper_cost = worst(
        None if a is None or b is None else (a - b) / 1e3
        for b in [results.get("wrappers/bare")]
        for a in (
            results.get(f"wrappers/{kind}")
            for kind in ("gated_branch", "choice_block", "concat_gate")
        )
    )
    compile_key = (
        "instructions"
        if results.get("compile/torch_nn", "instructions")
        else "cpu_time"
    )
    epoch = "epoch/{}/branches:2/batch:4/width:1/threads:1"
    return [
        ("slots / bare, N 2 to 64, batch 64, width 1 and 4",
         worst_ratio(results, "closed_paths", "slots", "bare",
                     [(n, 64, w) for w in (1, 4) for n in every_n]), 1.02),
        ("slots / bare, N 2 to 64, batch 4",
         worst_ratio(results, "closed_paths", "slots", "bare",
                     [(n, 4) for n in every_n]), 1.05),
        ("slots / hand-written zero-fill, N 8, batch 4",
         worst_ratio(results, "closed_paths", "slots", "hand_zero_fill",
                     [(8, 4)]), 0.70),
        ("peak memory, slots at N 64 / bare",
         worst_ratio(results, "memory", "slots", "bare",
                     [(64, b, w) for b in (4, 64) for w in (1, 4)],
                     "peak_bytes"), 1.02),
        ("library zero-fill dense / hand-written, N 2 and 8",
         worst_ratio(results, "closed_paths", "zero_fill_dense",
                     "hand_zero_fill", both), 1.02),
        ("library no_grad / hand-written, N 2 and 8",
         worst_ratio(results, "closed_paths", "no_grad", "hand_no_grad", both),
         1.02),
        ("an open wrapper's cost a call, microseconds", wrapper_cost, 0.5),
        ("bookkeeping, 4096 branches / 64",
         results.ratio("bookkeeping/open_optimizer/branches:4096",
                       "bookkeeping/open_optimizer/branches:64"), 1.2),
        ("a closed LSTM, 65 lengths in turn / the open one",
         results.ratio("known_shapes/library/lengths:65/number:same",
                       "known_shapes/open/lengths:65/number:same"), 0.10),
        ("a closed LSTM, a number that rises / the open one",
         results.ratio("known_shapes/library/lengths:1/number:rises",
                       "known_shapes/open/lengths:1/number:rises"), 0.10),
        ("compiling gatedpaths.hpp / torch/nn.h",
         results.ratio("compile/gatedpaths", "compile/torch_nn", compile_key),
         1.10),
        ("epoch of examples/cifar10 / Python, zero-fill",
         results.ratio(epoch.format("cifar10"),
                       epoch.format("python_zero_fill")), 0.70),
        ("epoch of examples/cifar10 / Python, mask",
         results.ratio(epoch.format("cifar10"),
                       epoch.format("python_mask")), 0.45),
        *per_sample_bars(results),
        *stochastic_depth_bars(results),
        *learned_bars(results),
        *search_bars(results),
        *evaluation_bars(results),
        ("a derived net of one path / bare, N 8, batch 4 and 64",
         worst_ratio(results, "one_path", "derived", "bare", [(8, 4), (8, 64)]),
         1.02),
        ("load_safetensors / reading the bytes, 1 GB",
         results.ratio("exchange/load_safetensors/megabytes:1024",
                       "exchange/read/megabytes:1024"), 1.5),
    ]


def print_bars(found, quick):
    rows = []
    for what, figure, most in found:
        if figure is None:
            met = "not measured"
        elif quick:
            met = "not judged"
        else:
            met = "yes" if figure <= most else "NO"
        rows.append([what, ratio_text(figure), f"{most:.2f}", met])
    print("\nBars; the worst where several rows count, one thread\n")
    print(table(["figure", "measured", "at most", "met"], rows))


# ---- Picture ----


def draw(results, file):
    try:
        import matplotlib
    except ImportError:
        print(f"\nNo matplotlib in {sys.executable}: no picture.")
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    chosen = {
        setting: branches
        for setting, branches in results.settings("closed_paths").items()
        if setting[1:] == (1, 1)
    } or results.settings("closed_paths")
    if not chosen:
        print("\nNo rows of closed_paths: no picture.")
        return
    figure, all_axes = pyplot.subplots(
        1, len(chosen), figsize=(5.2 * len(chosen), 4.2), squeeze=False
    )
    styles = {
        "bare": {"color": "black", "linestyle": ":", "linewidth": 2},
        "slots": {"color": "tab:green", "linewidth": 3, "marker": "o"},
        "no_grad": {"color": "tab:orange", "marker": "o"},
        "zero_fill_dense": {"color": "tab:blue", "marker": "o"},
        "hand_mask": {"color": "tab:red", "linestyle": "--"},
        "hand_no_grad": {"color": "tab:orange", "linestyle": "--"},
        "hand_zero_fill": {"color": "tab:blue", "linestyle": "--"},
        "hand_zeros_like": {"color": "tab:cyan", "linestyle": "--"},
    }
    for axes, (setting, branches) in zip(all_axes[0], chosen.items()):
        for form in FORMS:
            points = [
                (n, results.get(row_name("closed_paths", form, n, *setting)))
                for n in branches
            ]
            points = [(n, time / 1e6) for n, time in points if time is not None]
            if points:
                axes.plot(*zip(*points), label=form, **styles[form])
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(branches, [str(n) for n in branches])
        axes.set_xlabel("paths, of which one is open")
        axes.set_ylabel("ms a training step")
        axes.set_title(f"batch {setting[0]}")
        axes.grid(True, which="both", alpha=0.25)
    all_axes[0][0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    print(f"\nPicture: {file}")


def main():
    parser = argparse.ArgumentParser(description=" ".join(__doc__.split()))
    parser.add_argument("inputs", nargs="+", type=Path, metavar="JSON")
    parser.add_argument("--json", type=Path, help="all results, in one file")
    parser.add_argument("--png", type=Path, help="the picture")
    parser.add_argument("--quick", action="store_true", help="judge nothing")
    parser.add_argument(
        "--cpu-time", action="store_true", help="the thread's own, for one thread"
    )
    options = parser.parse_args()

    merged = {"context": {}, "benchmarks": []}
    for file in options.inputs:
        content = json.loads(file.read_text("utf-8"))
        # The programs' contexts differ in their own names only.
        for key, value in content.get("context", {}).items():
            merged["context"].setdefault(key, value)
        merged["benchmarks"] += content["benchmarks"]
    results = Results(merged["benchmarks"], options.cpu_time)
    print_forms(results, "closed_paths", "Microseconds a training step",
                "time", 1e3, 0)
    print_forms(results, "one_path", "Microseconds a training step of one path alone",
                "time", 1e3, 0)
    print_forms(results, "memory", "Peak KiB of a step beyond the weights",
                "peak_bytes", 1024, 0)
    print_python(results)
    print_others(results)
    found = bars(results)
    print_bars(found, options.quick)
    merged["bars"] = [
        {"figure": what, "measured": figure, "at_most": most}
        for what, figure, most in found
    ]
    if options.json:
        options.json.write_text(json.dumps(merged, indent=1), "utf-8")
        print(f"\nAll rows: {options.json}")
    if options.png:
        draw(results, options.png)


if __name__ == "__main__":
    main()
