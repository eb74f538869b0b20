"""Rows of the transfer table: a direction carried by each map, its controls, and what a target's own unsafe prompts give."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from safety_steer.alignment.align_direction import AlignSettings, align
from safety_steer.alignment.maps import MAPS
from safety_steer.directions.aligned import AlignedDirection
from safety_steer.directions.source import SafetyDirection
from safety_steer.errors import AlignmentError
from safety_steer.evaluation.transfer import native_direction, random_direction, shuffled_direction
from safety_steer.extraction.estimators import logistic_probe
from safety_steer.extraction.extract_direction import channel_statistics

from .measures import Json, by_threshold, judge, judge_and_steer, row_of
from .prompts import Prompts
from .states import SPACE, Target

CONTROLS = {"random direction": random_direction, "shuffled anchors": shuffled_direction}
FULL = "transferred, ridge"
NATIVE, PROBE = "native mean direction", "native linear probe"
CONTROL_SEED = 0


def transferred_rows(direction: SafetyDirection, target: Target, prompts: Prompts) -> list[Json]:
    """Measure a direction carried to a target by each map, and its controls; ridge, the default, on all prompts."""
    rows = []
    for name in MAPS:
        rows.append(_measured(f"transferred, {name}", direction, target, prompts, AlignSettings(map=name)))
    lenient = AlignSettings(require_better_than_chance=False)
    for label, control in CONTROLS.items():
        rows.append(_measured(label, control(direction, CONTROL_SEED), target, prompts, lenient))
    return rows


def native_rows(direction: SafetyDirection, target: Target, prompts: Prompts, harmless_flagged: int) -> list[Json]:
    """Measure what the target's own unsafe prompts give: the mean direction with its gate, and a linear probe.

    `direction` says which harmless prompts are anchors and passages; the probe flags as many harmless test prompts as
    `harmless_flagged`, at least one.
    """
    states, _ = target.states_of(direction.anchors)
    own = target.training_states(prompts)
    safe, unsafe = own[: len(prompts.train)], own[len(prompts.train) :]
    native = native_direction(states, prompts.train, safe, unsafe, direction.anchors)
    harmless = [safe, states.pooled, *([target.states_of(direction.passages)[0].pooled] if direction.passages else [])]
    mean, scale = channel_statistics(states.pooled)

    def standard(rows: Tensor) -> Tensor:
        return (rows.double() - mean) / scale

    positive, negative = standard(unsafe), standard(torch.cat(harmless))
    weights, bias = logistic_probe(positive, negative)
    scores = standard(target.pooled) @ weights + bias
    probe = by_threshold(scores, target, prompts, max(harmless_flagged, 1))
    return [_measured(NATIVE, native, target, prompts, None), row_of(PROBE, probe, target, prompts)]


def aligned_to(direction: SafetyDirection, target: Target, settings: AlignSettings | None) -> tuple[AlignedDirection, Json]:
    """Align a direction, and say how long encoding took (once for all directions with the same prompts) and the fit."""
    states, encoding = target.states_of(direction.anchors)
    passages = None
    if direction.passages:
        long, more = target.states_of(direction.passages)
        passages, encoding = {SPACE: long}, encoding + more
    began = time.perf_counter()
    aligned = align(direction, {SPACE: states}, target.model.identity.name, settings, passages=passages)
    return aligned, {"encoding": round(encoding, 2), "fit": round(time.perf_counter() - began, 2)}


def _measured(
    method: str, direction: SafetyDirection, target: Target, prompts: Prompts, settings: AlignSettings | None
) -> Json:
    try:
        aligned, seconds = aligned_to(direction, target, settings)
    except AlignmentError as error:
        return {"method": method, "refused": str(error)}
    if method in (FULL, NATIVE):
        verdicts = judge_and_steer(aligned, target, [*target.core, *target.rest])
    else:
        verdicts = judge(aligned, target, target.core)
    return row_of(method, verdicts, target, prompts) | {"seconds": seconds, "map": dict(aligned.report[SPACE])}
