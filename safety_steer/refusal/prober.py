"""AutoSteer's prober: a small network that says from one hidden state of a request how likely the request is unsafe."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..errors import DataError, MismatchError

HIDDEN = 64  # arXiv 2507.13255, d -> 64 -> 2
STEPS = 300  # by hand, as are the next three; the paper's rate of 1e-5 is for 200 epochs over 6,000 requests
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-2
SCALE_FLOOR = 1e-6
MIN_REQUESTS = 8


@dataclass(frozen=True, eq=False)
class Prober:
    """softmax(B relu(A h + a) + b): A (64, d), a (64,), B (2, 64), b (2,), all float32; the second output is "unsafe"."""

    inner: Tensor
    inner_bias: Tensor
    outer: Tensor
    outer_bias: Tensor

    @property
    def width(self) -> int:
        """Width d of the states it reads."""
        return int(self.inner.shape[1])

    def scores(self, states: Tensor) -> Tensor:
        """Return s, the probability of "unsafe", (B,) float32 on the states' device, for states (B, d) of any dtype.

        Raises MismatchError for states of another width.
        """
        if states.shape[-1] != self.width:
            raise MismatchError(
                f"This prober reads states of width {self.width}, but got {states.shape[-1]}. Use the model it was trained in."
            )
        inner, bias, outer, last = (
            tensor.to(states.device) for tensor in (self.inner, self.inner_bias, self.outer, self.outer_bias)
        )
        logits: Tensor = (states.float() @ inner.T + bias).relu() @ outer.T + last
        return logits.softmax(-1)[..., 1]


def train_prober(unsafe: Tensor, harmless: Tensor, seed: int = 0) -> Prober:
    """Train a prober on states (N, d) of unsafe and (M, d) of harmless requests; both sides weigh the same.

    Cross-entropy, AdamW over all rows at once. The standardisation of the channels is folded into the first layer.
    Raises DataError for fewer than 8 requests on a side.
    """
    if min(len(unsafe), len(harmless)) < MIN_REQUESTS:
        raise DataError(
            f"A prober needs {MIN_REQUESTS} requests of each kind, but got {len(unsafe)} unsafe and {len(harmless)} harmless "
            "ones. Give more."
        )
    with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        rows = torch.cat([unsafe, harmless]).float().clone()
        mean, scale = rows.mean(0), rows.std(0).clamp(min=SCALE_FLOOR)
        rows = (rows - mean) / scale
        kinds = torch.cat([torch.ones(len(unsafe)), torch.zeros(len(harmless))]).long()
        balance = torch.tensor([len(rows) / (2 * len(harmless)), len(rows) / (2 * len(unsafe))])
        network = torch.nn.Sequential(torch.nn.Linear(rows.shape[1], HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, 2))
        optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        for _ in range(STEPS):
            optimiser.zero_grad()
            cross_entropy(network(rows), kinds, balance).backward()
            optimiser.step()
    inner, inner_bias, outer, outer_bias = (parameter.detach() for parameter in network.parameters())
    return Prober(inner / scale, inner_bias - inner @ (mean / scale), outer, outer_bias)
