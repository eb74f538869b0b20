"""Teach a HarmNet in one text space: unsafe states carried over from the source against the target's own harmless states.

An unsafe prompt's state in the target is not known. What is known is its source state (`examples`), the map, and how far the
map is off on anchors: carried state + scatter of the source's class + a residual of some anchor is a draw of what it may be. A
passage in a long prompt keeps a part of what it would be alone and takes the rest from its surroundings: A * alone +
B * prompt + what passages differ anyway, with A and B as measured between 0.28 and 0.62, 0.56 and 0.72 in three encoders.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..directions.gate_examples import GateExamples
from ..directions.harm_net import HarmNet, join
from ..directions.passages import Passages
from ..directions.pooling import cut
from ..directions.quantiles import fit_quantiles
from ..fast_products import fast_products
from ..statistics import principal_axes
from .maps import Map
from .teaching import FOLDS, HARMLESS_BATCH, NETWORKS, UNSAFE_BATCH, Batch, Taught, silent, teach, widened
from .wide import BLOCK_BYTES

AXES, EXACT_WIDTH = 512, 1024  # docs/gate.md: 256 or 384 axes cost 5 to 10 points; the width by hand
BLOCK = 256  # by hand; examples at a time
SCATTER, DRAWS = 0.5, 3  # by hand; docs/gate.md: other scatters are within the noise
ALONE, SURROUNDINGS = (0.3, 0.6), 0.65  # about what was measured in three encoders: 0.28 to 0.62, and 0.56 to 0.72
OWN_SHARE = 0.12  # by hand; how much of its prompt a passage is
MIN_PASSAGE_PROMPTS = 32  # by hand
MIN_HARD = 64  # by hand
MIN_SHORT = 200  # by hand
TAIL = 0.8  # docs/gate.md: the mean excess over the 80 % quantile, in place of Gumbel's moments


@dataclass(frozen=True, eq=False)
class Harmless:
    """The target's states of N harmless prompts: `pooled` (N, D), real tokens of each (T_i, D), and which talk of danger.

    In a reduced space D counts coordinates, and `passages` in coordinates are given instead of tokens.
    """

    pooled: Tensor
    tokens: Sequence[Tensor]
    hard: Tensor
    passages: Passages | None = None


@dataclass(frozen=True, eq=False)
class Frame:
    """A standardised space, in its leading axes where it is wide: z = (h - mean) / scale, then along `axes` (D, d) if any."""

    mean: Tensor
    scale: Tensor
    axes: Tensor | None

    @classmethod
    def around(cls, mean: Tensor, scale: Tensor, pooled: Tensor, exact: int = EXACT_WIDTH) -> Frame:
        """Choose 512 principal axes of pooled states (N, D) in spaces wider than `exact`."""
        frame = cls(mean.float(), scale.float(), None)
        wide = pooled.shape[1] > exact
        return cls(frame.mean, frame.scale, principal_axes(frame.standardised(pooled), AXES)) if wide else frame

    def standardised(self, states: Tensor) -> Tensor:
        """Bring raw states (M, D) into the frame: (M, d)."""
        blocks = states.split(max(1, BLOCK_BYTES // (4 * states.shape[1])))
        return torch.cat([self.along((rows.float() - self.mean).div_(self.scale)) for rows in blocks])

    def along(self, standardised: Tensor) -> Tensor:
        """Bring standardised states (M, D) into the frame: (M, d)."""
        return standardised.float() if self.axes is None else standardised.float() @ self.axes

    def raw(self, weights: Tensor) -> Tensor:
        """Turn weights (H, d) in the frame to weights (H, D) for raw channels."""
        return weights / self.scale if self.axes is None else (weights @ self.axes.T).div_(self.scale)


@dataclass(frozen=True, eq=False)
class Spoken:
    """Passages (W, d) in a frame, with their `prompts` (P, d): that of passage n is prompts[places[n]].

    A network hears a passage and how it differs from its prompt, (2 d,), which is put together only when it is needed.
    `found` says whose the passages are, and holds no states itself.
    """

    passages: Tensor
    prompts: Tensor
    places: Tensor
    found: Passages

    @classmethod
    def of(cls, harmless: Harmless, frame: Frame) -> Spoken:
        """Cut harmless prompts into passages and bring these into a frame, some prompts at a time."""
        passages, prompts, places, owner = [], [], [], []
        count = 0
        for first, part in _cut_in_blocks(harmless):
            wholes, inside = part.by_prompt()
            passages.append(frame.standardised(part.means))
            prompts.append(frame.standardised(wholes))
            places.append(inside + count)
            owner.append(part.owner + first)
            count += len(wholes)
        return cls(torch.cat(passages), torch.cat(prompts), torch.cat(places), _owned(torch.cat(owner)))

    def silenced(self) -> Spoken:
        """Return no passages."""
        return Spoken(self.passages[:0], self.prompts[:0], self.places[:0], _owned(self.found.owner[:0]))

    def around(self, rows: Tensor) -> Tensor:
        """Return the prompts of some passages: (M, d)."""
        return self.prompts.index_select(0, self.places[rows])

    def into(self, pairs: Tensor, rows: Tensor) -> None:
        """Write some passages, and how they differ from their prompts, into pairs (M, 2 d)."""
        here, difference = pairs.chunk(2, dim=-1)
        here.copy_(self.passages.index_select(0, rows))
        torch.sub(here, self.around(rows), out=difference)

    def unseen(self, taught: Taught, folds: Tensor) -> Tensor:
        """Score the passages of `folds` (W,) with the networks that left them out: (W,)."""
        scores = []
        for rows in torch.arange(len(folds)).split(BLOCK):
            pairs = torch.empty(len(rows), 2 * self.passages.shape[1])
            self.into(pairs, rows)
            scores.append(taught.unseen(pairs, folds[rows]))
        return torch.cat(scores) if scores else torch.zeros(0)


def fit_harm_net(
    examples: GateExamples, mapped: Map, spread: Tensor, residuals: Tensor, harmless: Harmless, mean: Tensor, scale: Tensor
) -> HarmNet:
    """Teach both networks and calibrate them on the third of the harmless prompts that each has not seen.

    `mapped` carries standardised source states to standardised target states, `spread` (r, d_s) is a factor of how prompts of
    one class scatter in the source, `residuals` (A, D) is how far the map is off on anchors, which are the first of the
    harmless prompts; `mean` and `scale` (D,) standardise.
    """
    with torch.inference_mode(False), torch.enable_grad(), fast_products(residuals.device):
        generator = torch.Generator().manual_seed(0)
        exact = EXACT_WIDTH if harmless.passages is None else AXES
        frame = Frame.around(mean.clone(), scale.clone(), harmless.pooled, exact)
        whole = frame.standardised(harmless.pooled)
        dangerous = harmless.hard[: len(residuals)]
        off = frame.along(residuals[dangerous] if int(dangerous.sum()) >= MIN_HARD else residuals)
        bank, weights = _draws(examples, mapped, spread, frame, generator)

        def unsafe(count: int, generator: torch.Generator) -> Tensor:
            rows = torch.multinomial(weights, NETWORKS * count, replacement=True, generator=generator)
            errors = off.index_select(0, torch.randint(len(off), (NETWORKS * count,), generator=generator))
            return bank.index_select(0, rows).add_(errors).view(NETWORKS, count, -1)

        folds = torch.arange(len(whole)) % FOLDS
        of_prompts = teach(_prompt_batches(unsafe, whole, folds), whole.shape[1], generator)
        spoken = Spoken.of(harmless, frame)
        long = (spoken.found.counts(len(whole)) > 0) & ~harmless.hard
        # Where most prompts are long, the encoder pads them all to one length, and passages are mostly padding.
        heard = MIN_PASSAGE_PROMPTS <= int(long.sum()) <= len(long) / 2
        spoken = spoken if heard else spoken.silenced()
        found = spoken.found
        own = folds[found.owner]
        width = 2 * whole.shape[1]
        of_passages = teach(_passage_batches(unsafe, spoken, own), width, generator) if heard else silent(width)
    unseen, unseen_passages = of_prompts.unseen(whole, folds), spoken.unseen(of_passages, own)
    ordinary = ~harmless.hard
    middle, high = torch.quantile(unseen[ordinary].double(), torch.tensor([0.9, 0.99], dtype=torch.float64)).tolist()
    counts = found.counts(len(whole))
    highest = torch.full_like(unseen, -math.inf).scatter_reduce(0, found.owner, unseen_passages, "amax")
    passage_level, passage_fold = fit_tail(highest[long], counts[long]) if heard else (0.0, 1.0)
    units = torch.tensor([middle, max((high - middle) / math.log(10), 1e-6), passage_level, passage_fold])
    joint = join(units, unseen, unseen_passages, found).evidence
    short = ordinary & (counts == 0)
    levels = fit_quantiles(joint[short if int(short.sum()) >= MIN_SHORT else ordinary][:, None])[0]
    hard = fit_quantiles(joint[harmless.hard][:, None])[0] if int(harmless.hard.sum()) >= MIN_HARD else levels.clone()
    inner, bias = widened(of_prompts)
    inner_passage, bias_passage = widened(of_passages)
    own_part, contrast = (frame.raw(part.contiguous()) for part in inner_passage.chunk(2, dim=1))
    prompt_in = frame.raw(inner)
    levels_out = torch.tensor([float(of_prompts.level.mean()), 0.0, float(of_passages.level.mean()), 0.0])
    return HarmNet(
        prompt_in=prompt_in,
        prompt_bias=bias - prompt_in @ frame.mean,
        prompt_out=of_prompts.outer.flatten() / NETWORKS,
        passage_in=own_part,
        passage_contrast=contrast,
        passage_bias=bias_passage - own_part @ frame.mean,
        passage_out=of_passages.outer.flatten() / NETWORKS,
        units=units - levels_out,
        ordinary=levels,
        hard=hard,
    )


def _cut_in_blocks(harmless: Harmless) -> Iterator[tuple[int, Passages]]:
    """Yield the passages of some prompts at a time, with the number of the first of these prompts."""
    if harmless.passages is not None:
        yield 0, harmless.passages
        return
    for first in range(0, max(1, len(harmless.tokens)), BLOCK):
        yield first, cut(list(harmless.tokens[first : first + BLOCK]) or [harmless.pooled[:0].float()])


def _owned(owner: Tensor) -> Passages:
    """Return passages of which only the owners are known."""
    nothing = torch.zeros(len(owner), 0)
    return Passages(nothing, nothing, owner, torch.zeros_like(owner))


def fit_tail(highest: Tensor, counts: Tensor) -> tuple[float, float]:
    """Return the 90 % quantile and fold b of the highest passages' scores (N,) less b ln n, n the `counts` (N,) of passages.

    b is the mean excess over the 80 % quantile, which is the fold of an exponential tail.
    """
    fold = 0.0
    for _ in range(10):
        single = highest.double() - fold * counts.double().log()
        start = single.quantile(TAIL)
        fold = max(float((single[single >= start] - start).mean()), 1e-6)
    single = highest.double() - fold * counts.double().log()
    return float(single.quantile(0.9)), fold


def _draws(
    examples: GateExamples, mapped: Map, spread: Tensor, frame: Frame, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Carry every example over a few times, scattered like its class: (3 M, d), and how often to draw each: (3 M,)."""
    parts = []
    for _ in range(DRAWS):
        noise = torch.randn(len(examples.unsafe), len(spread), generator=generator).to(spread)
        for states, scatter in zip(examples.unsafe.split(BLOCK), noise.split(BLOCK), strict=True):
            carried = mapped(states.to(spread) + SCATTER * scatter @ spread)
            blocks = carried.split(max(1, BLOCK_BYTES // (4 * len(frame.mean))))
            parts += [frame.along(rows).clone() for rows in blocks]
    return torch.cat(parts), examples.weights.repeat(DRAWS)


def _prompt_batches(unsafe: Callable[[int, torch.Generator], Tensor], whole: Tensor, folds: Tensor) -> Batch:
    seen = [(folds != number % FOLDS).nonzero()[:, 0] for number in range(NETWORKS)]

    def fill(rows: Tensor, generator: torch.Generator) -> None:
        for batch, places in zip(rows, seen, strict=True):
            torch.index_select(whole, 0, subsample(places, HARMLESS_BATCH, generator), out=batch[UNSAFE_BATCH:])
        rows[:, :UNSAFE_BATCH] = unsafe(UNSAFE_BATCH, generator)

    return fill


def _passage_batches(unsafe: Callable[[int, torch.Generator], Tensor], spoken: Spoken, own: Tensor) -> Batch:
    seen = [(own != number % FOLDS).nonzero()[:, 0] for number in range(NETWORKS)]
    width = spoken.passages.shape[1]

    def fill(rows: Tensor, generator: torch.Generator) -> None:
        for batch, places in zip(rows, seen, strict=True):
            spoken.into(batch[UNSAFE_BATCH:], subsample(places, HARMLESS_BATCH, generator))
        around = torch.cat([subsample(places, UNSAFE_BATCH, generator) for places in seen])
        low, high = ALONE
        share = low + (high - low) * torch.rand(NETWORKS, UNSAFE_BATCH, 1, generator=generator)
        both = spoken.passages.index_select(0, around), spoken.around(around)
        here, prompt = (part.view(NETWORKS, UNSAFE_BATCH, -1) for part in both)
        inside = share * unsafe(UNSAFE_BATCH, generator) + SURROUNDINGS * prompt + here - prompt
        rows[:, :UNSAFE_BATCH, :width] = inside
        rows[:, :UNSAFE_BATCH, width:] = inside - torch.lerp(prompt, inside, OWN_SHARE)

    return fill


def subsample(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw rows, again and again the same ones if need be."""
    return rows[torch.randint(len(rows), (count,), generator=generator)]
