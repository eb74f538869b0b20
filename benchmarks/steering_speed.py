"""Parts of `benchmarks.speed`: what steering a conditioning of (1, 512, 4096) takes, in copies of it (`tensor.clone()`).

Copies and steering run in turn, and figures are medians. With one thread they are of processor time, so that other work on
the machine does not count; with more, of the clock on the wall. Prompts are planted: normal noise, in which a flagged prompt
has eight tokens far on the unsafe side.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from safety_steer.directions.aligned import AlignedDirection
from safety_steer.directions.aligned_space import AlignedSpace, EncoderFingerprint, PromptGate, TokenReading
from safety_steer.directions.harm_net import HarmNet
from safety_steer.directions.quantiles import LEVELS
from safety_steer.directions.source import ModelIdentity
from safety_steer.steering.operators import steer
from safety_steer.steering.steer_conditioning import steer_conditioning

TOKENS, WIDTH, CATEGORIES = 512, 4096, 7
HIDDEN = 384  # units of the networks that are fitted at alignment, all side by side
REPEATS = 96
TENSORS = 32  # more than caches hold
DTYPES = {"": torch.float32, "bfloat16_": torch.bfloat16, "float16_": torch.float16}


def medians(functions: Sequence[Callable[[], object]]) -> list[float]:
    """Return the median times of functions that run in turn, in ms."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(REPEATS):
        for function, taken in zip(functions, times, strict=True):
            start = clock()
            function()
            taken.append((clock() - start) * 1e3)
    return [statistics.median(taken) for taken in times]


def ring(states: Tensor, count: int = TENSORS) -> Iterator[Tensor]:
    """Return copies of a tensor in turn, for ever: "memory" is another of 32 each time, "cached" the same one."""
    return itertools.cycle([states.clone() for _ in range(count)])


def wide_space(categories: int, generator: torch.Generator, width: int = WIDTH) -> AlignedSpace:
    """Return a space of `width` channels whose benign tokens are standard normal, with categories in random directions."""
    rows, levels = torch.randn(categories, width, generator=generator) / width**0.5, torch.tensor(LEVELS).expand(categories, -1)
    groups = 2 * max(categories - 1, 1) + 1
    tokens = TokenReading(rows.clone(), torch.zeros(categories), levels.clone(), 10 + levels, 10 + levels)
    gate = PromptGate(
        prompt_readings=rows,
        gate_weights=torch.zeros(groups, width),
        gate_biases=torch.zeros(groups),
        gate_quantiles=torch.tensor(LEVELS).expand(4, -1).clone(),
        witness_weights=torch.tensor([1.0, 0.25, 0.25]),
    )
    encoder = EncoderFingerprint(torch.zeros(width), torch.ones(width), torch.tensor(4.0), torch.zeros(8, width))
    return AlignedSpace(rows.clone(), tokens, gate, encoder)


def with_networks(space: AlignedSpace) -> AlignedSpace:
    """Return a space that hears prompts and their passages by networks, which look for the first category alone."""
    inner = -space.vectors[:1].repeat(HIDDEN, 1)
    nothing, even, levels = torch.zeros(HIDDEN), torch.full((HIDDEN,), 1 / HIDDEN), torch.tensor(LEVELS)
    units = torch.tensor([0.0, 1.0, 0.0, 1.0])
    net = HarmNet(inner, nothing, even, inner, torch.zeros_like(inner), nothing, even, units, levels, levels)
    return replace(space, harm=net)


def flagged(states: Tensor, space: AlignedSpace) -> Tensor:
    """Return a prompt of which eight tokens lie far on the unsafe side."""
    result = states.clone()
    result[:, 100:108] -= 20 * space.vectors[0]
    return result


def measure_clip(_: object) -> dict[str, float]:
    """`clip` alone."""
    return alone("clip")


def alone(operator: str) -> dict[str, float]:
    """An operator alone, by one category, against copying: a benign prompt, and a flagged one of which a quarter moves."""
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(1, TOKENS, WIDTH, generator=generator)
    space = wide_space(1, generator)
    figures: dict[str, float] = {}
    for name, count in (("cached", 1), ("memory", TENSORS)):
        given = ring(states, count)
        steered = partial(_steer, given, space, operator)
        runs = [partial(_copy, given), partial(steered, None), partial(steered, torch.ones(1))]
        copy, benign, moved = medians(runs)
        figures[f"{name}_copy_ms"] = copy
        figures |= {f"{name}_benign_ratio": benign / copy, f"{name}_flagged_ratio": moved / copy}
    return figures


def _copy(given: Iterator[Tensor]) -> object:
    """Copy the next tensor."""
    return next(given).clone()


def _steer(given: Iterator[Tensor], space: AlignedSpace, operator: str, gate: Tensor | None) -> object:
    """Steer the next tensor."""
    return steer(next(given), space, ("global",), {"global": 1.0}, operator, gate=gate)


def measure_erase(_: object) -> dict[str, float]:
    """All that a node does by default, `steer_conditioning`, against copying: a benign prompt and a flagged one.

    By seven categories; "alone" is `erase` by one. "networks" is with the gate of newer directions, in which networks hear all
    125 passages of a prompt.
    """
    generator = torch.Generator().manual_seed(0)
    states, space = torch.randn(1, TOKENS, WIDTH, generator=generator), wide_space(CATEGORIES, generator)
    prompts = {"benign": 0.2 * states, "flagged": flagged(states, space)}
    figures = {f"alone_{name}": value for name, value in alone("erase").items()}
    for dtype, (gate, kind) in itertools.product(DTYPES, (("", space), ("networks_", with_networks(space)))):
        aligned = aligned_to(kind)
        for name, prompt in prompts.items():
            given = prompt.to(DTYPES[dtype])
            check(given, aligned, name == "flagged")
            figures |= {f"{dtype}{gate}{name}_{key}": value for key, value in whole(ring(given), aligned).items()}
    return figures


def aligned_to(space: AlignedSpace) -> AlignedDirection:
    """Return a direction that is aligned to one space."""
    names = ("global", *(f"category_{number}" for number in range(CATEGORIES - 1)))
    return AlignedDirection(
        ModelIdentity("planted", "planted", WIDTH, 1), "planted", "", names, {"cross_attn": space}, (), {}, {}
    )


def check(prompt: Tensor, aligned: AlignedDirection, unsafe: bool) -> None:
    """End the run where a prompt is steered otherwise than it should be."""
    outcome = steer_conditioning({"cross_attn": prompt}, aligned)
    if outcome.changed != unsafe or (outcome.spaces["cross_attn"].erased is None) == unsafe:
        raise SystemExit("A prompt was steered otherwise than it should be.")


def whole(given: Iterator[Tensor], aligned: AlignedDirection) -> dict[str, float]:
    """Return how long a copy and steering take, in ms, and their ratio."""
    copy, ours = medians([partial(_copy, given), lambda: steer_conditioning({"cross_attn": next(given)}, aligned)])
    return {"copy_ms": copy, "ms": ours, "ratio": ours / copy}
