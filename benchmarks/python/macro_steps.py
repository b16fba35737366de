#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Training steps of NAS-Bench-Macro's supernet in plain PyTorch, for peers.py to
time beside those of benchmarks/macro_steps.cpp, whose arguments and commands it has.

    macro_steps.py FILE WIDTH FORM

FORM says what becomes of closed branches: `open_only` does not call them, `gates`
calls all and multiplies each by its gate, which is 0 or 1.
"""

import random
import sys
import time

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

FORMS = ("open_only", "gates")
CHOICES = 3


def conv(inputs, outputs, kernel, stride=1, groups=1):
    return nn.Conv2d(
        inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False
    )


def conv_norm_relu(inputs, outputs, kernel):
    return [conv(inputs, outputs, kernel), nn.BatchNorm2d(outputs), nn.ReLU()]


class InvertedResidual(nn.Module):
    def __init__(self, inputs, outputs, stride, expansion, kernel):
        super().__init__()
        hidden = inputs * expansion
        self.shortcut = stride == 1 and inputs == outputs
        self.layers = nn.Sequential(
            *conv_norm_relu(inputs, hidden, 1),
            conv(hidden, hidden, kernel, stride, groups=hidden),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
            conv(hidden, outputs, 1),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x):
        y = self.layers(x)
        return y + x if self.shortcut else y


class Choice(nn.ModuleDict):
    """The branches of a block, by name and in order."""

    def __init__(self, form, inputs, outputs, stride):
        if stride == 1 and inputs == outputs:
            identity = nn.Identity()
        else:
            identity = nn.Sequential(
                conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)
            )
        super().__init__(
            {
                "identity": identity,
                "expand3_kernel3": InvertedResidual(inputs, outputs, stride, 3, 3),
                "expand6_kernel5": InvertedResidual(inputs, outputs, stride, 6, 5),
            }
        )
        self.branches = list(self.values())
        self.form = form
        self.open = 0

    def forward(self, x):
        if self.form == "open_only":
            return self.branches[self.open](x)
        return sum(
            float(i == self.open) * branch(x)
            for i, branch in enumerate(self.branches)
        )


class Net(nn.Module):
    def __init__(self, form, width):
        super().__init__()
        channels = int(32 * width)
        self.stem = nn.Sequential(*conv_norm_relu(3, channels, 3))
        blocks = []
        for full, count in ((64, 2), (128, 3), (256, 3)):
            outputs = int(full * width)
            for i in range(count):
                blocks.append(Choice(form, channels, outputs, 1 if i else 2))
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        features = int(1280 * width)
        self.head = nn.Sequential(
            *conv_norm_relu(channels, features, 1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(features, 10),
        )

    def forward(self, images):
        return self.head(self.blocks(self.stem(images)))


def write_start(file, width, batch, side):
    """The weights and the images that all forms start with."""
    torch.manual_seed(0)
    tensors = dict(Net("open_only", width).state_dict())
    tensors["images"] = torch.randn(batch, 3, side, side)
    tensors["labels"] = torch.randint(10, (batch,))
    save_file(tensors, file)


class Training:
    def __init__(self, file, width, form):
        tensors = load_file(file)
        self.images = tensors.pop("images")
        self.labels = tensors.pop("labels")
        self.net = Net(form, width)
        self.net.load_state_dict(tensors)
        self.optimizer = torch.optim.SGD(
            self.net.parameters(), lr=0.01, momentum=0.9, weight_decay=4e-5
        )

    def step(self, net):
        for block, choice in zip(self.net.blocks, net):
            block.open = choice
        self.optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(self.net(self.images), self.labels)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def steps(self, count):
        for _ in range(count):
            self.step([random.randrange(CHOICES) for _ in self.net.blocks])


def main():
    file, width, form = sys.argv[1:]
    torch.set_num_threads(1)
    random.seed(0)
    training = Training(file, float(width), form)
    for line in sys.stdin:
        command, value = line.split()
        if command == "step":
            print(training.step(list(map(int, value))).item(), flush=True)
        else:
            start, cpu_start = time.perf_counter(), time.process_time()
            training.steps(int(value))
            seconds = time.perf_counter() - start
            print(seconds, time.process_time() - cpu_start, flush=True)


if __name__ == "__main__":
    main()
