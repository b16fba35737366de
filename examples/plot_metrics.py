#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Draws the loss and the test accuracy of every path of a cifar10 run.

Usage: plot_metrics.py METRICS.jsonl OUT.png

METRICS.jsonl is what `cifar10 --metrics` wrote; needs matplotlib.
"""
import json
import math
import pathlib
import sys

# More lines than this tell nothing apart, and need no legend.
LEGEND_LINES = 10


def read_events(path: pathlib.Path) -> list[dict]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        sys.exit(f"plot_metrics: expected a metrics file, got {error}")
    events = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            event = json.loads(line)
            event["event"]
        except (ValueError, TypeError, KeyError):
            sys.exit(
                f"plot_metrics: {path}, line {number}: expected a JSON object "
                f'with an "event", got {line[:60]!r}'
            )
        events.append(event)
    if not any(event["event"] == "epoch" for event in events):
        sys.exit(f"plot_metrics: {path}: expected at least one epoch, got none")
    return events


def draw_loss(axes, events: list[dict]) -> None:
    epochs = [event for event in events if event["event"] == "epoch"]
    losses = [math.nan if e["loss"] is None else e["loss"] for e in epochs]
    axes.plot([e["epoch"] for e in epochs], losses, marker="o", color="0.25")
    axes.set(title="Training loss", xlabel="epoch", ylabel="mean cross-entropy")


def draw_accuracy(axes, events: list[dict]) -> None:
    paths: dict[str, list[tuple[int, float]]] = {}
    for event in events:
        if event["event"] == "test":
            point = (event["epoch"], 100 * event["accuracy"])
            paths.setdefault(event["path"], []).append(point)
    for path, points in paths.items():
        last = points[-1][1]
        axes.plot(*zip(*points), marker="o", label=f"{path}  ({last:.1f} %)")
    axes.set(title="Test accuracy of each path", xlabel="epoch", ylabel="%")
    if 0 < len(paths) <= LEGEND_LINES:
        axes.legend(loc="lower right")


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    events = read_events(pathlib.Path(sys.argv[1]))
    try:
        import matplotlib
    except ImportError:
        sys.exit(
            "plot_metrics: expected matplotlib, got none; install it with "
            "`apt-get install python3-matplotlib` or `pip install matplotlib`"
        )
    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator

    figure, panels = pyplot.subplots(1, 2, figsize=(10, 4), dpi=120)
    draw_loss(panels[0], events)
    draw_accuracy(panels[1], events)
    for axes in panels:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    try:
        figure.savefig(sys.argv[2])
    except (OSError, ValueError) as error:
        sys.exit(f"plot_metrics: cannot write {sys.argv[2]}: {error}")


if __name__ == "__main__":
    main()
