"""A SafetyDirection to an AlignedDirection: fit a map on benign anchors, carry everything over, calibrate, and check.

The target never sees an unsafe prompt. What the map carries is not only the vector: the source's within-class
covariance, carried too and joined by the map's own residual covariance, says which target channels to trust, and gives
a *transported discriminant* that reads pooled prompts and opens the gate. Single tokens scatter otherwise than
prompts, so they are read with a discriminant of their own, from the covariance of benign tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ..directions.aligned import AlignedDirection
from ..directions.aligned_space import AlignedSpace, EncoderFingerprint, PromptGate, TokenReading, distance
from ..directions.pooling import trust
from ..directions.quantiles import fit_quantiles
from ..directions.source import SafetyDirection
from ..directions.text_spaces import Place
from ..errors import AlignmentError
from ..extraction.extract_direction import MIN_ANCHORS
from ..extraction.usable_states import all_alike
from ..steering.gate import joined_evidence, log_odds, witnesses
from ..version import __version__
from . import wide
from .anchors import PROBE_COUNT, AnchorStates
from .carry import Carried, calibrate, carry
from .harm_fit import Harmless, fit_harm_net
from .held_out import held_out_report, refuse_chance
from .maps import Map, fit_map
from .span import joined
from .token_readings import CalibratedReadings, calibrate_readings, token_discriminant

FLOAT64_LIMIT = 2**21  # by hand; numbers, above which double precision takes too long
FIT_LIMIT = 3.0  # by hand; channel deviations
WITNESS_WEIGHTS = {"all": (1.0, 0.25, 0.25), "own": (0.0, 1.0, 1.0)}  # by hand: prompt, token, phrase
THRESHOLDS = tuple(WITNESS_WEIGHTS)
MIN_OWN = 200  # by hand: the gate's rate asks for one prompt in two hundred


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
    passages: Mapping[str, AnchorStates] | None = None,
) -> AlignedDirection:
    """Align a direction to an encoder, given the encoder's states of the direction's anchors.

    `states` maps a text space to the states of `direction.anchors`, or of the rows named by `anchors`, in order.
    `extra_benign` are states of further benign prompts, which count for the thresholds only; `places` says where the spaces
    lie. `passages` are states of `direction.passages` or some of them: without them a gate knows nothing of long prompts.
    Raises AlignmentError for fewer than 64 anchors, or when states are constant or no map is better than chance on held-out
    anchors. Where that is so in some spaces of several, those are left out, and the report says why.
    """
    settings = settings or AlignSettings()
    rows = list(range(len(direction.anchors))) if anchors is None else list(anchors)
    if len(rows) < MIN_ANCHORS:
        raise AlignmentError(f"Expected at least {MIN_ANCHORS} benign anchors, but got {len(rows)}. Use more anchors.")
    if not states:
        raise AlignmentError("This encoder gives no text states to align to. Use a CLIP that encodes text.")
    # Rows of a tensor are a copy.
    source = direction.anchor_activations if rows == list(range(len(direction.anchors))) else direction.anchor_activations[rows]
    spaces: dict[str, AlignedSpace] = {}
    fits: dict[str, Fit] = {}
    report: dict[str, Any] = {}
    refused: list[AlignmentError] = []
    for name, space_states in states.items():
        extra = (extra_benign or {}).get(name)
        try:
            spaces[name], report[name], fits[name] = align_space(direction, source, space_states, settings, name, extra)
        except AlignmentError as error:
            refused.append(error)
            report[name] = {"left_out": str(error)}
    spoken = [name for name in spaces if not _pooled_only(states[name])]
    if not spoken and refused:
        raise refused[0]
    spaces = {name: spaces[name] for name in sorted(spaces, key=lambda name: (name not in spoken, -report[name]["cosine"]))}
    first = next(iter(spaces))
    if direction.examples is not None and settings.thresholds == "all":
        further = [part[first] for part in (passages, extra_benign) if part and first in part]
        harmless = _harmless(states[first], direction.examples.hard[rows], further)
        residuals, reduced = fits[first].residuals, states[first].reduced
        plain = residuals.new_zeros(residuals.shape[1]), residuals.new_ones(residuals.shape[1])
        known = spaces[first].encoder
        mean, scale = (known.mean, known.scale) if reduced is None else plain
        spread = direction.spread.to(residuals)
        net = fit_harm_net(direction.examples, fits[first].mapped, spread, residuals, harmless, mean, scale)
        spaces[first] = replace(spaces[first], harm=net if reduced is None else reduced.span.lifted(net))
    return AlignedDirection(
        source=direction.source,
        encoder=encoder,
        direction_hash=direction.content_hash,
        categories=direction.categories,
        spaces=MappingProxyType(spaces),
        probe_prompts=tuple(direction.anchors[row] for row in rows[:PROBE_COUNT]),
        settings=asdict(settings) | {"anchors": len(rows), "version": __version__},
        report=report,
        places={name: place for name, place in (places or {}).items() if name in spaces},
    )


def _harmless(anchors: AnchorStates, hard: Tensor, further: Sequence[AnchorStates]) -> Harmless:
    """Put anchors and further harmless prompts together; those whose tokens were not kept are heard as a whole only.

    Hard anchors count as ordinary ones where these would be too few to say what is normal.
    """
    parts = [anchors, *further]
    known = torch.cat([hard, hard.new_zeros(sum(map(len, parts)) - len(hard))])
    known = known if int((~known).sum()) >= MIN_ANCHORS else torch.zeros_like(known)
    reduced = [part.reduced for part in parts if part.reduced is not None]
    if reduced:
        if len(reduced) < len(parts) or len({len(part.pooled[0]) for part in reduced}) > 1:
            raise AlignmentError("Some prompts are reduced and others are not. Collect all of them with the anchors' spans.")
        coordinates, passages = joined(reduced)
        return Harmless(coordinates, [], known, passages)
    pooled = torch.cat([part.pooled for part in parts])
    nothing = pooled.new_zeros(0, pooled.shape[1])
    tokens = [rows for part in parts for rows in (*part.tokens, *[nothing] * (len(part.pooled) - len(part.tokens)))]
    return Harmless(pooled, tokens, known)


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
) -> tuple[AlignedSpace, dict[str, Any], Fit]:
    """Align one text space: source anchors z (N, d_s) and the target's states of the same N prompts."""
    if len(states) != len(source):
        raise AlignmentError(f"Got {len(states):,} states of {name} for {len(source):,} anchors.")
    if not float(states.pooled.std(0).max()) > 0:
        raise AlignmentError(f"The encoder gives the same {name} for every prompt: it has no usable hidden states.")
    if all_alike(source):
        raise AlignmentError("The direction holds the same state for every anchor. Extract it again, with other layers.")
    mean, scale, target = _standardised(states, source.numel())
    source = source.to(target.dtype, copy=True)
    middle = source.mean(0)
    source -= middle
    report = held_out_report(settings.map, source, target)
    if settings.require_better_than_chance:
        refuse_chance(report, name)
    mapped = fit_map(settings.map, source, target)
    carried = carry(direction, source, target, mapped, settings, 1 - report["r2"], len(mean))
    lengths = wide.lengths(states.pooled, mean) if states.reduced is None else states.reduced.lengths
    carried = carried if states.reduced is None else carried.lifted(states.reduced.span)
    vectors = calibrate(direction, source, lengths, carried.vectors.double() * scale)
    normal = normal_prompts(states, extra, settings.thresholds)
    seen = [*states.tokens, *(extra.tokens if extra is not None and settings.thresholds == "own" else ())]
    tokenwise = token_discriminant(carried.vectors, seen, scale, settings.token_shrinkage)
    calibrated = calibrate_readings(tokenwise / scale, normal.tokens)
    tokens = TokenReading(
        readings=calibrated.readings.float(),
        offsets=calibrated.offsets.float(),
        token_quantiles=fit_quantiles(calibrated.tokens),
        prompt_quantiles=fit_quantiles(calibrated.token_peaks),
        phrase_quantiles=fit_quantiles(calibrated.phrase_peaks),
    )
    gate = _prompt_gate(carried, mean, scale, normal.pooled, calibrated, tokens, WITNESS_WEIGHTS[settings.thresholds])
    space = AlignedSpace(vectors.float(), tokens, gate, fingerprint(states, mean.float(), scale.float()))
    return space, report, Fit(lambda rows: mapped(rows - middle), target - mapped(source))


def _prompt_gate(
    carried: Carried,
    mean: Tensor,
    scale: Tensor,
    normal: Tensor,
    calibrated: CalibratedReadings,
    tokens: TokenReading,
    weights: Sequence[float],
) -> PromptGate:
    """Take the carried gate to raw channels, and its quantiles from `normal` pooled prompts (N, D) and their peaks."""
    densities = carried.gate_weights.double() / scale
    gate_weights, gate_biases = densities.float(), (carried.gate_biases.double() - densities @ mean).float()
    by_category, witness_weights = log_odds(gate_weights, gate_biases, normal), torch.tensor(weights)
    heard = witnesses(tokens, by_category, calibrated.token_peaks.float(), calibrated.phrase_peaks.float())
    tails = fit_quantiles(heard)
    joint = fit_quantiles(joined_evidence(tails, witness_weights, heard)[:, None])
    return PromptGate(
        prompt_readings=(carried.readings.double() / scale).float(),
        gate_weights=gate_weights,
        gate_biases=gate_biases,
        gate_quantiles=torch.cat([tails, joint]),
        witness_weights=witness_weights,
    )


def fingerprint(states: AnchorStates, mean: Tensor, scale: Tensor) -> EncoderFingerprint:
    """Say how far the anchors' pooled states lie from their mean (D,), in deviations (D,), so that others stand out."""
    counts = torch.tensor([len(rows) for rows in states.tokens])
    farthest = distance(mean, scale, states.pooled[: len(counts)], counts).max()
    limit = torch.maximum(2 * farthest, FIT_LIMIT * trust(counts).median())
    return EncoderFingerprint(mean, scale, limit, states.pooled[:PROBE_COUNT].float())


def _standardised(states: AnchorStates, numbers: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and scale (D,), and the standardised states (N, D), or coordinates (N, r) of a reduced space.

    In double precision where neither these nor the source's, so many `numbers`, are too many.
    """
    reduced = states.reduced
    held = states.pooled if reduced is None else reduced.pooled
    dtype = torch.float64 if max(numbers, held.numel()) <= FLOAT64_LIMIT else torch.float32
    if reduced is not None:
        return reduced.span.mean, reduced.span.scale, held.to(dtype)
    mean, scale = wide.statistics(held)
    return mean, scale, wide.standardised(held, mean, scale, dtype)


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted map from standardised source states to standardised target states, and its `residuals` (N, D) on the anchors.

    In a reduced space both are in coordinates.
    """

    mapped: Map
    residuals: Tensor


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
