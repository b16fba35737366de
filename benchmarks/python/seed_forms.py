#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The seed net in PyTorch: a training step in each form, and one whole epoch
against examples/cifar10 on the same images in memory, with the same settings.

The rows are named as those of the C++ programs. Writes Google Benchmark's JSON.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

FORMS = ("bare", "mask", "no_grad", "zero_fill", "zeros_like")
RECORD = 1 + 3072
RECORDS = 10000
TRAIN_FILES = tuple(f"data_batch_{i}.bin" for i in range(1, 6))


class SeedPath(nn.Module):
    """[N, 3, 32, 32] -> [N, 16 * width, 5, 5]"""

    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6 * width, 5)
        self.conv2 = nn.Conv2d(6 * width, 16 * width, 5)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        return F.max_pool2d(F.relu(self.conv2(x)), 2)


class SeedNet(nn.Module):
    def __init__(self, form, branches, width):
        super().__init__()
        self.form = form
        self.width = width
        self.open = 0
        count = 1 if form == "bare" else branches
        self.paths = nn.ModuleList(SeedPath(width) for _ in range(count))
        self.fc1 = nn.Linear(count * 16 * width * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def features(self, x):
        if self.form == "bare":
            return self.paths[0](x)
        if self.form == "mask":
            parts = [
                path(x) * float(i == self.open) for i, path in enumerate(self.paths)
            ]
        elif self.form == "no_grad":
            parts = []
            for i, path in enumerate(self.paths):
                if i == self.open:
                    parts.append(path(x))
                else:
                    with torch.no_grad():
                        parts.append(torch.zeros_like(path(x)))
        else:
            output = self.paths[self.open](x)
            if self.form == "zero_fill":
                zeros = torch.zeros(
                    (x.size(0), 16 * self.width, 5, 5), dtype=x.dtype, device=x.device
                )
            else:
                zeros = torch.zeros_like(output)
            parts = [zeros] * len(self.paths)
            parts[self.open] = output
        return torch.cat(parts, 1)

    def forward(self, x):
        x = torch.flatten(self.features(x), 1)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


# ---- Steps ----


class Training:
    """One net, one batch, and SGD with momentum and weight decay."""

    def __init__(self, form, branches, batch, width, compiled=False):
        torch.manual_seed(0)
        self.net = SeedNet(form, branches, width)
        self.call = torch.compile(self.net) if compiled else self.net
        self.optimizer = torch.optim.SGD(
            self.net.parameters(), lr=0.001, momentum=0.9, weight_decay=5e-4
        )
        torch.manual_seed(2)
        self.images = torch.randn(batch, 3, 32, 32)
        self.labels = torch.randint(10, (batch,))

    def forward_backward(self, branch):
        self.net.open = branch
        self.optimizer.zero_grad()
        logits = self.call(self.images)
        F.cross_entropy(logits, self.labels).backward()
        return logits.detach()

    def step(self, branch):
        self.forward_backward(branch)
        self.optimizer.step()


def gradients(net, path):
    named = dict(net.paths[path].named_parameters())
    found = {f"path.{name}": p.grad for name, p in named.items()}
    size = net.fc1.in_features // len(net.paths)
    found["fc1.weight"] = net.fc1.weight.grad[:, path * size : (path + 1) * size]
    for name, p in net.named_parameters():
        if not name.startswith("paths.") and name != "fc1.weight":
            found[name] = p.grad
    return found


def check_forms(branches, batch, width, compiled):
    """Holds every form's logits and gradients against the mask form's."""
    mask = Training("mask", branches, batch, width)
    opened = branches - 1
    logits = mask.forward_backward(opened)
    expected = gradients(mask.net, opened)
    for form in FORMS:
        training = Training(form, branches, batch, width, compiled)
        with torch.no_grad():
            if form == "bare":
                size = training.net.fc1.in_features
                training.net.paths[0].load_state_dict(
                    mask.net.paths[opened].state_dict()
                )
                training.net.fc1.weight.copy_(mask.net.fc1.weight[:, -size:])
                training.net.fc1.bias.copy_(mask.net.fc1.bias)
                training.net.fc2.load_state_dict(mask.net.fc2.state_dict())
                training.net.fc3.load_state_dict(mask.net.fc3.state_dict())
            else:
                training.net.load_state_dict(mask.net.state_dict())
        got_logits = training.forward_backward(opened)
        got = gradients(training.net, 0 if form == "bare" else opened)
        pairs = {"logits": (got_logits, logits)}
        pairs.update({name: (got[name], value) for name, value in expected.items()})
        for name, (value, wanted) in pairs.items():
            error = (value - wanted).abs().max().item()
            if error > 1e-4 * wanted.abs().max().item() + 1e-7:
                sys.exit(f"seed_forms: {form}: wrong {name}, by {error}")


def time_steps(training, branches, seconds):
    """Seconds a step, over about `seconds`: by the clock, and of this thread."""
    drawn = [random.randrange(branches) for _ in range(997)]
    end = time.perf_counter() + min(0.02, seconds)
    steps = 0
    while steps < 1 or time.perf_counter() < end:
        training.step(drawn[steps % len(drawn)])
        steps += 1
    steps = 0
    start, cpu_start = time.perf_counter(), time.thread_time()
    while True:
        training.step(drawn[steps % len(drawn)])
        steps += 1
        elapsed = time.perf_counter() - start
        if elapsed >= seconds:
            return elapsed / steps, (time.thread_time() - cpu_start) / steps


def row(name, repetition, repetitions, seconds, cpu_seconds, unit="us"):
    scale = {"us": 1e6, "s": 1.0}[unit]
    return {
        "name": name,
        "run_name": name,
        "run_type": "iteration",
        "repetitions": repetitions,
        "repetition_index": repetition,
        "iterations": 1,
        "real_time": seconds * scale,
        "cpu_time": cpu_seconds * scale,
        "time_unit": unit,
    }


def step_settings(options):
    """All (branches, batch)."""
    if options.quick:
        return [(2, 4)]
    return [(n, batch) for n in (2, 8) for batch in (4, 64)]


def step_kinds(options):
    """Prefix of the row's form, and whether it is compiled."""
    return [("", False)] + ([("compiled_", True)] if options.compile else [])


def step_name(form, branches, batch):
    return f"python/{form}/branches:{branches}/batch:{batch}/width:1/threads:1"


def run_steps(options):
    repetitions = 1 if options.quick else options.repetitions
    seconds = 0.001 if options.quick else 0.1
    kinds = step_kinds(options)
    rows = []
    torch.set_num_threads(1)
    for branches, batch in step_settings(options):
        for _, compiled in kinds:
            check_forms(branches, batch, 1, compiled)
        trainings = {}
        for prefix, compiled in kinds:
            for form in FORMS:
                training = Training(form, branches, batch, 1, compiled)
                for branch in range(branches):
                    training.step(branch)  # compiles anew for each, if at all
                trainings[step_name(prefix + form, branches, batch)] = training
        for repetition in range(repetitions):
            names = list(trainings)
            random.shuffle(names)
            for name in names:
                taken = time_steps(trainings[name], branches, seconds)
                rows.append(row(name, repetition, repetitions, *taken))
    return rows


# ---- Epochs ----


def write_stand_in(folder):
    """CIFAR-10's binary files with random bytes in them: the time of a step does
    not depend on what is in the images."""
    generator = random.Random(0)
    for name in (*TRAIN_FILES, "test_batch.bin"):
        records = bytearray(generator.randbytes(RECORDS * RECORD))
        records[::RECORD] = bytes(label % 10 for label in records[::RECORD])
        (folder / name).write_bytes(records)


def read_images(folder, limit):
    below = folder / "cifar-10-batches-bin"
    folder = below if below.is_dir() else folder
    parts = []
    for name in TRAIN_FILES:
        data = bytearray((folder / name).read_bytes())
        parts.append(torch.frombuffer(data, dtype=torch.uint8).view(RECORDS, RECORD))
    records = torch.cat(parts)
    if limit:
        records = records[:limit]
    pixels = records[:, 1:].reshape(-1, 3, 32, 32).contiguous()
    return pixels, records[:, 0].long()


EPOCH_NAME = "epoch/{}/branches:2/batch:4/width:1/threads:1"
EPOCH_RUNS = ("python_zero_fill", "python_mask", "cifar10")
EPOCH = {"lr": 0.001, "momentum": 0.9, "weight_decay": 0.0, "batch_size": 4}


def python_epoch(form, pixels, labels):
    """Seconds of one epoch, as examples/cifar10 trains it: images shuffled, two
    paths of which one is drawn, and a rate that falls linearly to 0."""
    torch.manual_seed(0)
    net = SeedNet(form, 2, 1)
    optimizer = torch.optim.SGD(
        net.parameters(),
        lr=EPOCH["lr"],
        momentum=EPOCH["momentum"],
        weight_decay=EPOCH["weight_decay"],
    )
    order = torch.randperm(len(labels))
    batch_size = EPOCH["batch_size"]
    steps = (len(labels) + batch_size - 1) // batch_size
    loss_sum = torch.zeros((), dtype=torch.float64)
    start = time.perf_counter()
    for step in range(steps):
        indices = order[step * batch_size : (step + 1) * batch_size]
        images = pixels.index_select(0, indices).to(torch.float32)
        images.div_(127.5).sub_(1.0)
        target = labels.index_select(0, indices)
        net.open = random.randrange(2)
        optimizer.param_groups[0]["lr"] = EPOCH["lr"] * (1.0 - step / steps)
        optimizer.zero_grad()
        loss = F.cross_entropy(net(images), target)
        loss.backward()
        optimizer.step()
        loss_sum += loss.detach()
    return time.perf_counter() - start


def cifar10_epoch(program, folder, limit):
    """Seconds of one epoch of examples/cifar10, as it reports them."""
    with tempfile.TemporaryDirectory() as scratch:
        metrics = Path(scratch) / "metrics.jsonl"
        command = [program, "--data", folder, "--epochs", 1, "--threads", 1]
        command += ["--paths", 2, "--width", 1, "--limit", limit]
        command += ["--metrics", metrics]
        for name, value in EPOCH.items():
            command += [f"--{name.replace('_', '-')}", value]
        run = subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode != 0:
            sys.exit(f"seed_forms: {program} failed:\n{run.stdout}{run.stderr}")
        for line in metrics.read_text("utf-8").splitlines():
            event = json.loads(line)
            if event["event"] == "epoch":
                return event["seconds"]
    sys.exit(f"seed_forms: {program} reported no epoch")


def run_epochs(options):
    torch.set_num_threads(1)
    rounds = 1 if options.quick else options.epoch_rounds
    limit = 200 if options.quick else 0
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.data
        if folder is None:
            folder = Path(scratch)
            write_stand_in(folder)
        pixels, labels = read_images(folder, limit)
        for repetition in range(rounds):
            for run in EPOCH_RUNS:
                if run == "cifar10":
                    seconds = cifar10_epoch(options.cifar10, folder, limit)
                else:
                    form = run.removeprefix("python_")
                    seconds = python_epoch(form, pixels, labels)
                name = EPOCH_NAME.format(run)
                rows.append(row(name, repetition, rounds, seconds, seconds, "s"))
    return rows


def row_names(options):
    names = []
    if options.only in ("", "steps"):
        names += [
            step_name(prefix + form, branches, batch)
            for branches, batch in step_settings(options)
            for prefix, _ in step_kinds(options)
            for form in FORMS
        ]
    if options.only in ("", "epoch"):
        names += [EPOCH_NAME.format(run) for run in EPOCH_RUNS]
    return names


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    add = parser.add_argument
    add("--json", type=Path, help="write the rows there")
    add("--only", choices=("steps", "epoch"), default="", help="these rows alone")
    add(
        "--cifar10",
        type=Path,
        metavar="PROGRAM",
        help="examples/cifar10 as built; without it no epochs",
    )
    add(
        "--data",
        type=Path,
        metavar="DIR",
        help="CIFAR-10's binary files; else random images",
    )
    add(
        "--compile",
        action="store_true",
        help="the forms under torch.compile, too: they compile for each path",
    )
    add("--repetitions", type=int, default=15, metavar="N")
    add("--epoch-rounds", type=int, default=3, metavar="N")
    add("--quick", action="store_true", help="the smallest settings, each once")
    add("--list", action="store_true", help="names of the rows")
    options = parser.parse_args()
    if options.list:
        print("\n".join(row_names(options)))
        return
    if options.compile:
        # One graph for each open path, and no falling back to eager.
        from torch import _dynamo

        _dynamo.config.recompile_limit = 128
    random.seed(0)
    rows = []
    if options.only in ("", "steps"):
        rows += run_steps(options)
    if options.cifar10 and options.only in ("", "epoch"):
        rows += run_epochs(options)
    for name in dict.fromkeys(r["name"] for r in rows):
        mine = [r for r in rows if r["name"] == name]
        median = statistics.median(r["real_time"] for r in mine)
        print(f"{name:<72} {median:12.2f} {mine[0]['time_unit']}")
    if options.json:
        context = {"pytorch": torch.__version__}
        text = json.dumps({"context": context, "benchmarks": rows}, indent=1)
        options.json.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
