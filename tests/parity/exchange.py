# SPDX-License-Identifier: MIT
"""The other side of the tests on files that Python reads or writes.

    exchange.py write-safetensors FILE   tensors of all dtypes, and a small ResNet's
    exchange.py read-safetensors FILE    into FILE.pt, as torch.save writes it
    exchange.py write-odd-safetensors FILE  what some other writer may not write
    exchange.py judge-safetensors FOLDER  of each *.safetensors there whether it is
                                         taken, into FOLDER/verdicts; what is taken
                                         again into *.again
    exchange.py run-script FILE FOLDER   on FOLDER/x.safetensors, into FOLDER/y.safetensors
"""

import sys
from pathlib import Path

import torch
from torch import nn

DTYPES = (
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.uint16,
    torch.uint32,
    torch.uint64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.complex64,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
    torch.float8_e4m3fnuz,
    torch.float8_e5m2fnuz,
)


class Block(nn.Module):
    """A block as torchvision names it."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)

    def forward(self, x):
        return x + torch.relu(self.bn1(self.conv1(x)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.layer1 = nn.Sequential(Block(), Block())
        self.fc = nn.Linear(4 * 6 * 6, 5)

    def forward(self, x):
        return self.fc(self.layer1(self.conv1(x)).flatten(1))


def write_safetensors(path):
    from safetensors.torch import save_file

    torch.manual_seed(1)
    net = Net()
    net(torch.randn(8, 3, 6, 6))  # so that batch norm has statistics
    net.eval()
    save_file(net.state_dict(), path, metadata={"format": "pt"})
    save_file(
        {str(d): torch.arange(6).reshape(2, 3).to(d) for d in DTYPES}, path + ".all"
    )
    x = torch.randn(2, 3, 6, 6)
    save_file({"x": x, "y": net(x).detach()}, path + ".io")


def read_safetensors(path):
    from safetensors import safe_open
    from safetensors.torch import load_file

    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"format": "pt", "note": "é"}, file.metadata()
    torch.save(
        {name: t.contiguous().view(-1).view(torch.uint8) for name, t in tensors.items()},
        path + ".pt",
    )


def write_odd_safetensors(path):
    from safetensors.torch import save_file

    tensors = {
        "scalar": torch.tensor(2.5),
        "no elements": torch.zeros(0),
        "no rows": torch.zeros(0, 3, dtype=torch.int64),
        "no columns": torch.zeros(2, 0, 3, dtype=torch.bool),
        "": torch.tensor([True, False]),
        'a "b" \\ /\n\t\x7f é 😀': torch.tensor([-0.0, float("nan"), float("inf")]),
        "complex": torch.tensor([1 + 2j, -3j], dtype=torch.complex64),
        "odd bytes": torch.arange(3, dtype=torch.uint8),
        "many dims": torch.ones([1] * 20, dtype=torch.float16),
    }
    metadata = {"": "", 'a "b"': "\n\\é😀", "format": "pt"}
    save_file(tensors, path, metadata=metadata)
    save_file({}, path + ".none")
    save_file({}, path + ".metadata", metadata={"a": "b"})


def copy(tensor):
    """Of its bytes, whatever they are."""
    data = tensor.reshape(-1).view(torch.uint8).clone()
    return data.view(tensor.dtype).reshape(tensor.shape)


def judge_safetensors(folder):
    from safetensors.torch import load_file, save_file

    verdicts = []
    for path in sorted(Path(folder).glob("*.safetensors")):
        try:
            tensors = load_file(path)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a panic of the package is no Exception
            reason = " ".join(str(error).split())
            verdicts.append(f"{path.stem} refused {reason}")
            continue
        verdicts.append(f"{path.stem} taken")
        save_file({name: copy(t) for name, t in tensors.items()}, f"{path}.again")
    Path(folder, "verdicts").write_text("".join(f"{v}\n" for v in verdicts), "utf-8")


def run_script(path, folder):
    from safetensors.torch import load_file, save_file

    net = torch.jit.load(path)
    assert not net.training
    with torch.no_grad():
        y = net(load_file(folder + "/x.safetensors")["x"])
    state = {name: t.clone() for name, t in net.state_dict().items()}
    save_file({"y": y, **state}, folder + "/y.safetensors")


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "write-safetensors":
        write_safetensors(*arguments)
    elif command == "read-safetensors":
        read_safetensors(*arguments)
    elif command == "write-odd-safetensors":
        write_odd_safetensors(*arguments)
    elif command == "judge-safetensors":
        judge_safetensors(*arguments)
    else:
        run_script(*arguments)
