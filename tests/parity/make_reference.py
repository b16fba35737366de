# SPDX-License-Identifier: MIT
"""Writes what PyTorch itself makes of nets with closed paths.

    make_reference.py FILE

Everything is written out as plain PyTorch: the net of two paths, in three forms
of closing one of them, a block of three branches of which two are open, and one
whose branches are weighed by logits, as Gumbel-softmax and DARTS do; and what
torch.utils.flop_counter says of five nets.
FILE is a dictionary from names to tensors, as torch.save writes it.
"""

import sys

import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

PATHS = ("a", "b")
FORMS = ("mask", "no_grad", "zero_fill")
BATCH = 8
STEPS = 20


def conv_path():
    return nn.Sequential(
        nn.Conv2d(3, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )


class Net(nn.Module):
    """Two paths, of which one is open; `form` says how the other is closed."""

    def __init__(self, form):
        super().__init__()
        self.form = form
        self.open = PATHS[0]
        self.paths = nn.ModuleDict({name: conv_path() for name in PATHS})
        self.fc1 = nn.Linear(800, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def run_path(self, name, images):
        path = self.paths[name]
        if self.form == "mask":
            return path(images) * (1.0 if name == self.open else 0.0)
        if name == self.open:
            return path(images)
        if self.form == "no_grad":
            with torch.no_grad():
                return torch.zeros_like(path(images))
        return torch.zeros(images.shape[0], 16, 5, 5)

    def forward(self, images):
        features = torch.cat([self.run_path(name, images) for name in PATHS], dim=1)
        hidden = functional.relu(self.fc1(features.flatten(1)))
        hidden = functional.relu(self.fc2(hidden))
        return self.fc3(hidden)


def loss_of(net, images, labels):
    return functional.cross_entropy(net(images), labels)


def add_gradients(reference, prefix, module):
    for name, parameter in module.named_parameters():
        if parameter.grad is not None:
            reference[f"{prefix}/gradient/{name}"] = parameter.grad.clone()


def add_single_steps(reference, weights, images, labels):
    for form in FORMS:
        for open_path in PATHS:
            net = Net(form)
            net.load_state_dict(weights)
            net.open = open_path
            logits = net(images)
            functional.cross_entropy(logits, labels).backward()
            reference[f"{form}/{open_path}/logits"] = logits.detach()
            add_gradients(reference, f"{form}/{open_path}", net)


def add_training(reference, weights, generator):
    sequence = torch.randint(len(PATHS), (STEPS,), generator=generator)
    images = torch.randn(STEPS, BATCH, 3, 32, 32, generator=generator)
    labels = torch.randint(10, (STEPS, BATCH), generator=generator)
    reference["training/sequence"] = sequence
    reference["training/images"] = images
    reference["training/labels"] = labels
    for form in FORMS:
        net = Net(form)
        net.load_state_dict(weights)
        optimizer = torch.optim.SGD(
            net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4
        )
        for step in range(STEPS):
            net.open = PATHS[sequence[step]]
            optimizer.zero_grad()
            loss_of(net, images[step], labels[step]).backward()
            optimizer.step()
        for name, parameter in net.named_parameters():
            reference[f"{form}/trained/{name}"] = parameter.detach().clone()


def add_choice(reference, images):
    branches = nn.ModuleDict(
        {str(i): nn.Conv2d(3, 4, 2 * i + 1, padding=i) for i in range(3)}
    )
    for name, parameter in branches.named_parameters():
        reference[f"choice/weights/{name}"] = parameter.detach().clone()
    for reduction in ("sum", "mean"):
        outputs = torch.stack([branches[name](images) for name in ("0", "2")])
        output = getattr(outputs, reduction)(dim=0)
        branches.zero_grad()
        output.square().mean().backward()
        reference[f"choice/{reduction}/output"] = output.detach()
        add_gradients(reference, f"choice/{reduction}", branches)


def gumbel_noise(logits, seed):
    """The noise that functional.gumbel_softmax draws from this seed."""
    torch.manual_seed(seed)
    return -torch.empty_like(logits).exponential_().log()


def add_learned(reference, images):
    branches = nn.ModuleDict(
        {str(i): nn.Conv2d(3, 4, 2 * i + 1, padding=i) for i in range(3)}
    )
    logits = torch.tensor([0.3, -0.4, 0.8], requires_grad=True)
    reference["learned/logits"] = logits.detach().clone()
    for name, parameter in branches.named_parameters():
        reference[f"learned/weights/{name}"] = parameter.detach().clone()

    def add(prefix, output):
        branches.zero_grad()
        logits.grad = None
        output.square().mean().backward()
        reference[f"{prefix}/output"] = output.detach()
        reference[f"{prefix}/logits"] = logits.grad.clone()
        add_gradients(reference, prefix, branches)

    for seed, temperature in enumerate((0.5, 1.0, 5.0, 1.0)):
        prefix = f"gumbel/{seed}"
        reference[f"{prefix}/temperature"] = torch.tensor(temperature)
        reference[f"{prefix}/noise"] = gumbel_noise(logits.detach(), seed)
        torch.manual_seed(seed)
        weights = functional.gumbel_softmax(logits, temperature, hard=True)
        chosen = int(weights.argmax())
        reference[f"{prefix}/chosen"] = torch.tensor(chosen)
        add(prefix, weights[chosen] * branches[str(chosen)](images))

    weights = functional.softmax(logits, dim=0)
    add("darts", sum(w * op(images) for w, op in zip(weights, branches.values())))


def add_stochastic_depth(reference, images):
    """By row, for every choice of the rows that are kept: torchvision's formula
    with a given mask."""
    keep = 0.75
    x = images[:4].clone().requires_grad_()
    branch = nn.Conv2d(3, 3, 3, padding=1)
    for name, parameter in branch.named_parameters():
        reference[f"depth/weights/{name}"] = parameter.detach().clone()
    for number in range(2**4):
        mask = torch.tensor([float(number >> row & 1) for row in range(4)])
        branch.zero_grad()
        x.grad = None
        output = x + branch(x) * (mask / keep).view(-1, 1, 1, 1)
        output.square().mean().backward()
        reference[f"depth/{number}/output"] = output.detach()
        reference[f"depth/{number}/input"] = x.grad.clone()
        if number:  # else the branch need not run, and then has no gradient
            add_gradients(reference, f"depth/{number}", branch)


class ResidualBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
        )
        self.short = nn.Conv2d(8, 16, 1, stride=2, bias=False)

    def forward(self, x):
        return functional.relu(self.main(x) + self.short(x))


class Attention(nn.Module):
    """By hand, since C++ has a MultiheadAttention without the fused kernel."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(24, 72)
        self.out = nn.Linear(24, 24)

    def forward(self, x):
        q, k, v = self.qkv(x).view(2, 7, 3, 4, 6).permute(2, 0, 3, 1, 4).unbind(0)
        heads = functional.scaled_dot_product_attention(q, k, v)
        return self.out(heads.transpose(1, 2).reshape(2, 7, 24))


def count_flops(run):
    counter = FlopCounterMode(display=False)
    with counter:
        run()
    return torch.tensor(counter.get_total_flops())


def add_flops(reference):
    """The counter knows neither oneDNN's fused LSTM nor the CPU's fused attention,
    so that both are run as the products that they are made of."""
    nets = {
        "seed": (Net("zero_fill"), (4, 3, 32, 32)),
        "residual": (ResidualBlock(), (3, 8, 12, 12)),
        "depthwise": (
            nn.Sequential(
                nn.Conv2d(8, 16, 3, groups=8, padding=1),
                nn.Conv2d(16, 12, 1, groups=4),
                nn.ReLU(),
                nn.ConvTranspose2d(12, 6, 3, stride=2, groups=2),
            ),
            (2, 8, 9, 9),
        ),
        "lstm": (nn.LSTM(8, 16, 2, bidirectional=True), (5, 3, 8)),
        "attention": (Attention(), (2, 7, 24)),
    }
    for name, (net, sizes) in nets.items():
        x = torch.ones(sizes)
        with torch.backends.mkldnn.flags(enabled=False):
            with sdpa_kernel(SDPBackend.MATH):
                reference[f"flops/{name}"] = count_flops(lambda: net(x))
    # Of grouped convolutions it counts the weight's gradient as if of one group.
    net, sizes = nets["residual"]
    x = torch.ones(sizes, requires_grad=True)
    reference["flops/residual/step"] = count_flops(lambda: net(x).sum().backward())


def main():
    torch.set_num_threads(1)
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(BATCH, 3, 32, 32, generator=generator)
    labels = torch.randint(10, (BATCH,), generator=generator)
    weights = {k: v.clone() for k, v in Net("mask").state_dict().items()}
    reference = {"images": images, "labels": labels}
    reference.update({f"weights/{name}": value for name, value in weights.items()})
    add_single_steps(reference, weights, images, labels)
    add_training(reference, weights, generator)
    add_choice(reference, images)
    add_learned(reference, images)
    add_stochastic_depth(reference, images)
    add_flops(reference)
    torch.save(reference, sys.argv[1])


if __name__ == "__main__":
    main()
