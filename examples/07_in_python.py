#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs what 07_from_supernet_to_net wrote, in PyTorch alone: 07_in_python.py [FOLDER]"""

import json
import pathlib
import sys

import torch


def load_safetensors(path):
    """As safetensors.torch.load_file, for a machine that has PyTorch alone."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    tensors = {}
    for name, entry in json.loads(data[8 : 8 + size]).items():
        if name == "__metadata__":
            continue
        dtype = {"F32": torch.float32, "I64": torch.int64}[entry["dtype"]]
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        flat = torch.frombuffer(bytearray(data[begin:end]), dtype=dtype)
        tensors[name] = flat.reshape(entry["shape"])
    return tensors


folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
net = torch.jit.load(folder / "net.pt")
weights = load_safetensors(folder / "net.safetensors")
io = load_safetensors(folder / "io.safetensors")

state = net.state_dict()
assert state.keys() == weights.keys(), (sorted(state), sorted(weights))
for name, value in state.items():
    assert torch.equal(value, weights[name]), name
distance = (net(io["input"]) - io["output"]).abs().max().item()
assert distance <= 1e-6, distance
print(f"{len(state)} tensors, and the same outputs: apart by at most {distance:.0e}")
