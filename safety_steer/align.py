"""A SafetyDirection to an AlignedDirection: fit a map on benign anchors, carry everything over, calibrate, and check.

The target never sees an unsafe prompt. What the map carries is not only the vector: the source's within-class
covariance, carried too and joined by the map's own residual covariance, says which target channels to trust, and gives
a *transported discriminant* that reads pooled prompts and opens the gate. Single tokens scatter otherwise than
prompts, so they are read with a discriminant of their own, from the covariance of benign tokens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from .aligned import LEVELS, WITNESSES, AlignedDirection, AlignedSpace, gate_categories, trust
from .anchors import MIN_ANCHORS, PROBE_COUNT, AnchorStates
from .direction import SafetyDirection
from .errors import AlignmentError
from .estimators import solve_shrunk
from .extract import channel_statistics
from .gate import joined_evidence, log_odds, witnesses
from .held_out import held_out_report, refuse_chance
from .maps import Map, fit_map
from .readings import EXACT_WIDTH, calibrate_readings, quantiles, token_discriminant
from .text_spaces import Place

FLOAT64_LIMIT = 2**21
MLP_SAMPLES = 256
FIT_LIMIT = 3.0
WITNESS_WEIGHTS = {"all": (1.0, 0.25, 0.25), "own": (0.0, 1.0, 1.0)}  # prompt, token, phrase
THRESHOLDS = tuple(WITNESS_WEIGHTS)
MIN_OWN = 200


@dataclass(frozen=True)
class AlignSettings:
    """How to align: the `map`, how far the covariance is shrunk to a sphere, how far category means to the global one.

    `token_shrinkage` does for the covariance of benign tokens what `shrinkage` does for that of prompts. `thresholds` says
    whose prompts are normal: "all" benign prompts (anchors and further ones), or "own", the further ones alone, which then
    shape the token readings too. `require_better_than_chance` refuses a map no better than one fitted on shuffled anchors.
    """

    map: str = "ridge"
    shrinkage: float = 0.2
    category_shrinkage: float = 0.25
    require_better_than_chance: bool = True
    token_shrinkage: float = 0.1
    thresholds: str = "all"


def align(
    direction: SafetyDirection,
    states: Mapping[str, AnchorStates],
    encoder: str,
    settings: AlignSettings | None = None,
    anchors: Sequence[int] | None = None,
    extra_benign: Mapping[str, AnchorStates] | None = None,
    places: Mapping[str, Place] | None = None,
) -> AlignedDirection:
    """Align a direction to an encoder, given the encoder's states of the direction's anchors.

    `states` maps a text space to the states of `direction.anchors`, or of the rows named by `anchors`, in order.
    `extra_benign` are states of further benign prompts, which count for the thresholds only; `places` says where the spaces
    lie. Raises AlignmentError for fewer than 64 anchors, or when states are constant or no map is better than chance on
    held-out anchors. Where that is so in some spaces of several, those are left out, and the report says why.
    """
    settings = settings or AlignSettings()
    rows = list(range(len(direction.anchors))) if anchors is None else list(anchors)
    if len(rows) < MIN_ANCHORS:
        raise AlignmentError(f"Expected at least {MIN_ANCHORS} benign anchors, but got {len(rows)}. Use more anchors.")
    if not states:
        raise AlignmentError("This encoder gives no text states to align to. Use a CLIP that encodes text.")
    source = direction.anchor_activations[rows]
    spaces: dict[str, AlignedSpace] = {}
    report: dict[str, Any] = {}
    refused: list[AlignmentError] = []
    for name, space_states in states.items():
        extra = (extra_benign or {}).get(name)
        try:
            spaces[name], report[name] = align_space(direction, source, space_states, settings, name, extra)
        except AlignmentError as error:
            refused.append(error)
            report[name] = {"left_out": str(error)}
    spoken = [name for name in spaces if not _pooled_only(states[name])]
    if not spoken and refused:
        raise refused[0]
    spaces = {name: spaces[name] for name in sorted(spaces, key=lambda name: (name not in spoken, -report[name]["cosine"]))}
    return AlignedDirection(
        source=direction.source,
        encoder=encoder,
        direction_hash=direction.content_hash,
        categories=direction.categories,
        spaces=MappingProxyType(spaces),
        probe_prompts=tuple(direction.anchors[row] for row in rows[:PROBE_COUNT]),
        settings=asdict(settings) | {"anchors": len(rows)},
        report=report,
        places={name: place for name, place in (places or {}).items() if name in spaces},
    )


def _pooled_only(states: AnchorStates) -> bool:
    """Say whether a space has one token per prompt, which is what a pooled state looks like."""
    return max(map(len, states.tokens)) <= 1


def align_space(
    direction: SafetyDirection,
    source: Tensor,
    states: AnchorStates,
    settings: AlignSettings,
    name: str,
    extra: AnchorStates | None = None,
) -> tuple[AlignedSpace, dict[str, Any]]:
    """Align one text space: source anchors z (N, d_s) and the target's states of the same N prompts."""
    if len(states.pooled) != len(source):
        raise AlignmentError(f"Got {len(states.pooled):,} states of {name} for {len(source):,} anchors.")
    mean, scale = channel_statistics(states.pooled)
    if not float(states.pooled.std(0).max()) > 0:
        raise AlignmentError(f"The encoder gives the same {name} for every prompt: it has no usable hidden states.")
    dtype = torch.float64 if max(source.numel(), states.pooled.numel()) <= FLOAT64_LIMIT else torch.float32
    centred = states.pooled.double() - mean
    target = (centred / scale).to(dtype)
    source = source.to(dtype)
    source = source - source.mean(0)
    report = held_out_report(settings.map, source, target)
    if settings.require_better_than_chance:
        refuse_chance(report, name)
    carried = carry(direction, source, target, fit_map(settings.map, source, target), settings, 1 - report["r2"])
    vectors = calibrate(direction, source, centred, carried.vectors.double() * scale)
    normal = normal_prompts(states, extra, settings.thresholds)
    seen = [*states.tokens, *(extra.tokens if extra is not None and settings.thresholds == "own" else ())]
    tokenwise = token_discriminant(carried.vectors, seen, scale, settings.token_shrinkage)
    calibrated = calibrate_readings(tokenwise / scale, normal.tokens)
    weights = carried.gate_weights.double() / scale
    space = AlignedSpace(
        vectors=vectors.float(),
        readings=calibrated.readings.float(),
        offsets=calibrated.offsets.float(),
        token_quantiles=quantiles(calibrated.tokens),
        prompt_quantiles=quantiles(calibrated.token_peaks),
        phrase_quantiles=quantiles(calibrated.phrase_peaks),
        prompt_readings=(carried.readings.double() / scale).float(),
        gate_weights=weights.float(),
        gate_biases=(carried.gate_biases.double() - weights @ mean).float(),
        gate_quantiles=torch.zeros(WITNESSES + 1, len(LEVELS)),
        witness_weights=torch.tensor(WITNESS_WEIGHTS[settings.thresholds]),
        mean=mean.float(),
        scale=scale.float(),
        fit_limit=torch.tensor(FIT_LIMIT),
        probes=states.pooled[:PROBE_COUNT].float(),
    )
    lengths = torch.tensor([len(rows) for rows in states.tokens])
    distances = space.distance(states.pooled[: len(lengths)], lengths)
    space.fit_limit.copy_(torch.maximum(2 * distances.max(), FIT_LIMIT * trust(lengths).median()))
    highest = calibrated.token_peaks.float(), calibrated.phrase_peaks.float()
    heard = witnesses(space, log_odds(space, normal.pooled), *highest)
    space.gate_quantiles[:WITNESSES] = quantiles(heard)
    space.gate_quantiles[WITNESSES:] = quantiles(joined_evidence(space, heard)[:, None])
    return space, report


def normal_prompts(anchors: AnchorStates, extra: AnchorStates | None, thresholds: str) -> AnchorStates:
    """Return the benign prompts that set the thresholds, those with token states; raises AlignmentError for too few."""
    if thresholds not in THRESHOLDS:
        raise AlignmentError(f"Expected thresholds {' or '.join(THRESHOLDS)}, but got '{thresholds}'.")
    count = 0 if extra is None else len(extra.tokens)
    if thresholds == "own" and count < MIN_OWN:
        raise AlignmentError(
            f"Thresholds from your own prompts alone need at least {MIN_OWN} of them, but got {count}. Add prompts, or let "
            "the bundled ones count too."
        )
    parts = [extra] if thresholds == "own" else [anchors, extra]
    chosen = [part for part in parts if part is not None]
    return AnchorStates(
        torch.cat([part.pooled[: len(part.tokens)] for part in chosen]), [rows for part in chosen for rows in part.tokens]
    )


@dataclass(frozen=True, eq=False)
class Carried:
    """A direction in a target's standardised space, before calibration."""

    vectors: Tensor
    readings: Tensor
    gate_weights: Tensor
    gate_biases: Tensor


def carry(
    direction: SafetyDirection, source: Tensor, target: Tensor, mapped: Map, settings: AlignSettings, error: float
) -> Carried:
    """Carry vectors, covariance and class means through a map, and read them with the transported discriminant.

    `error` is the map's held-out share of unexplained variance: residuals on the anchors it was fitted to flatter it.
    With T the map, S the source's within-class covariance and R the covariance of the map's residuals on anchors,
    the reading of v is (T S T^T + R + shrinkage)^-1 T(v): Fisher's discriminant for the target, from benign target data.
    """
    safe, unsafe = direction.safe_means.to(source), direction.unsafe_means.to(source)
    half = direction.vectors.to(source) / direction.scale.to(source) / 2
    cloud = Cloud.around(direction.spread.to(source), linear=settings.map != "mlp")
    middle = (safe + unsafe) / 2
    vectors = cloud.mean(mapped, middle + half) - cloud.mean(mapped, middle - half)
    residual = (target - mapped(source)) / math.sqrt(len(source))
    unexplained = float(residual.square().sum() * len(source) / target.square().sum())
    residual = residual * math.sqrt(max(min(error, 1.0) / max(unexplained, 1e-12), 1.0))
    factor = torch.cat([cloud.factor(mapped, middle[0]), residual])
    classes = torch.cat([_class_means(unsafe, direction, settings), _class_means(safe, direction, settings)])
    means = torch.cat([cloud.mean(mapped, classes), torch.zeros_like(target[:1])])
    wanted = torch.cat([vectors, means])
    # Well conditioned by the shrinkage, so single precision does, at half the time of the whole fit.
    wide = wanted.shape[1] > EXACT_WIDTH
    solved = solve_shrunk(factor.float(), wanted.float(), settings.shrinkage, over_rows=wide).to(wanted)
    readings, gate_weights = solved[: len(vectors)], solved[len(vectors) :]
    return Carried(vectors, readings, gate_weights, -(gate_weights * means).sum(-1) / 2)


@dataclass(frozen=True, eq=False)
class Cloud:
    """How prompts of one class scatter around their mean: a covariance factor (r, d), and samples for bent maps.

    Through a linear map a mean and a covariance go as they are, and `samples` is None; through an MLP they are those of
    mapped samples, seeded.
    """

    spread: Tensor
    samples: Tensor | None

    @classmethod
    def around(cls, spread: Tensor, linear: bool) -> Cloud:
        """Build a cloud from a covariance factor."""
        noise = torch.randn(MLP_SAMPLES, len(spread), generator=torch.Generator().manual_seed(0))
        return cls(spread, None if linear else noise.to(spread) @ spread)

    def mean(self, mapped: Map, points: Tensor) -> Tensor:
        """Return the means of the clouds around points (M, d_s) after the map: (M, d_t)."""
        if self.samples is None:
            return mapped(points)
        return torch.stack([mapped(point + self.samples).mean(0) for point in points])

    def factor(self, mapped: Map, point: Tensor) -> Tensor:
        """Return a factor of the covariance of the cloud around one point (d_s,) after the map: (R, d_t)."""
        if self.samples is None:
            return mapped(self.spread)
        carried = mapped(point + self.samples)
        return (carried - carried.mean(0)) / math.sqrt(len(carried))


def _class_means(means: Tensor, direction: SafetyDirection, settings: AlignSettings) -> Tensor:
    """Return the gate's class means, drawn toward the global one: few pairs make a category's own mean noisy."""
    count = len(gate_categories(direction.categories))
    return torch.lerp(means[-count:], means[:1].expand(count, -1), settings.category_shrinkage)


def calibrate(direction: SafetyDirection, source: Tensor, target: Tensor, vectors: Tensor) -> Tensor:
    """Give carried vectors (K, d_t) the length of the source's, in benign target units (arXiv 2606.05290 eq. 7-9).

    beta = median centred target norm / median source norm over anchors; v_t = beta |v_s| v / |v|.
    """
    beta = target.norm(dim=-1).median() / source.double().norm(dim=-1).median()
    lengths = (direction.vectors.double() / direction.scale.double()).norm(dim=-1)
    factors: Tensor = beta * lengths / vectors.norm(dim=-1).clamp(min=1e-12)
    return vectors * factors[:, None]
