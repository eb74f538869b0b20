"""Native against transferred against controls, on one encoder: the table behind `safety-steer demo` and the benchmarks.

Every method ends as an AlignedDirection made by the same code, so that they differ in one thing each: where the direction
comes from (the target's own unsafe prompts, a source model, or chance) and which map carried it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..alignment.align_direction import AlignSettings, align
from ..alignment.anchors import AnchorStates
from ..alignment.maps import MAPS
from ..directions.aligned import AlignedDirection
from ..directions.aligned_space import AlignedSpace
from ..directions.pooling import pool
from ..directions.source import ModelIdentity, SafetyDirection, rounded
from ..extraction.extract_direction import fit_direction
from ..statistics import auroc
from ..steering.gate import gate_threshold, open_gate
from ..steering.steer_conditioning import SteerSettings, steer_conditioning
from ..storage.prompt_files import Pair

SPACE = "cross_attn"


@dataclass(frozen=True, eq=False)
class TargetData:
    """What a target encoder gives: anchor states, and token states (T_i, D) of test pairs and unseen benign prompts.

    `passages` are its states of the direction's long harmless prompts, None where there are none.
    """

    anchors: AnchorStates
    safe: Sequence[Tensor]
    unsafe: Sequence[Tensor]
    benign: Sequence[Tensor]
    passages: AnchorStates | None = None


@dataclass(frozen=True)
class Row:
    """One method. `plain` and `reading` are AUROCs of the vector read as it is and of the direction's reading; `gate` that
    of its gate, `flagged` and `benign_changed` shares of unsafe and unseen benign prompts that steering changed;
    `moved` how far flagged prompts came toward the safe mean (1 = there); `drift` 1 - cosine of benign pooled states.
    """

    method: str
    plain: float
    reading: float
    gate: float
    flagged: float
    moved: float
    benign_changed: float
    drift: float
    cosine: float


def native_direction(
    anchors: AnchorStates, pairs: Sequence[Pair], safe: Tensor, unsafe: Tensor, prompts: Sequence[str]
) -> SafetyDirection:
    """Extract a direction in the target itself from pooled states of its own pairs: the upper reference.

    It carries no examples, so its gate is the linear one of the mean direction.
    """
    width = anchors.pooled.shape[1]
    direction = fit_direction(
        source=ModelIdentity("native", "", width, 1),
        layers=(1,),
        pooling="mean",
        estimator="mean",
        pairs=pairs,
        anchors=prompts,
        activations=(safe, unsafe, anchors.pooled),
        report={},
    )
    return replace(direction, examples=None)


def random_direction(direction: SafetyDirection, seed: int) -> SafetyDirection:
    """Replace a direction's vectors and class differences by random ones of the same lengths: a control.

    Its unsafe examples become harmless states, those of anchors drawn at random, moved along the random vector.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(direction.vectors.shape, generator=generator)
    noise = noise / noise.norm(dim=-1, keepdim=True)
    lengths = (direction.vectors / direction.scale).norm(dim=-1, keepdim=True)
    vectors = noise * lengths * direction.scale
    examples = direction.examples
    if examples is not None:
        drawn = torch.randint(len(direction.anchors), (len(examples.unsafe),), generator=generator)
        unsafe = direction.anchor_activations[drawn].float() - noise[0] * lengths[0]
        examples = replace(examples, unsafe=rounded(unsafe))
    return replace(direction, vectors=vectors, unsafe_means=direction.safe_means - noise * lengths, examples=examples)


def shuffled_direction(direction: SafetyDirection, seed: int) -> SafetyDirection:
    """Give a direction's anchors each other's source activations, so that the map learns nothing: a control.

    Which anchors talk of dangerous things is shuffled too; the unsafe examples go through the same useless map.
    """
    order = torch.randperm(len(direction.anchors), generator=torch.Generator().manual_seed(seed))
    examples = direction.examples and replace(direction.examples, hard=direction.examples.hard[order])
    return replace(direction, anchor_activations=direction.anchor_activations[order], examples=examples)


def compare(
    direction: SafetyDirection, native: SafetyDirection, data: TargetData, control_seeds: Sequence[int] = (0, 1, 2)
) -> list[Row]:
    """Align and measure every method on one target; controls are means over `control_seeds`."""
    reference = align_to(native, data)
    rows = [_measure("native (own unsafe prompts)", reference, data, reference)]
    for name in MAPS:
        aligned = align_to(direction, data, AlignSettings(map=name))
        rows.append(_measure(f"transferred, {name}", aligned, data, reference))
    controls = {"random direction": random_direction, "shuffled anchors": shuffled_direction}
    settings = AlignSettings(require_better_than_chance=False)
    for label, control in controls.items():
        measured = [
            _measure(label, align_to(control(direction, seed), data, settings), data, reference) for seed in control_seeds
        ]
        rows.append(_average(measured))
    return rows


def as_table(rows: Sequence[Row]) -> tuple[list[str], list[list[object]]]:
    """Return a header and cells for printing rows, with ratios to the native direction (the first row)."""
    header = ["method", "AUROC", "of native", "gate", "of native", "plain", "cosine", "unsafe", "moved", "benign", "drift"]
    first = rows[0]
    cells: list[list[object]] = [
        [
            row.method,
            row.reading,
            f"{row.reading / first.plain:.3f}",
            row.gate,
            f"{row.gate / first.gate:.3f}",
            row.plain,
            row.cosine,
            f"{row.flagged:.1%}",
            row.moved,
            f"{row.benign_changed:.2%}",
            f"{row.drift:.5f}",
        ]
        for row in rows
    ]
    return header, cells


def prompt_scores(aligned: AlignedDirection, data: TargetData) -> Mapping[str, Tensor]:
    """Return the gate's scores of benign, safe and unsafe prompts, and its threshold, for plots."""
    space = aligned.spaces[SPACE]
    groups = {"benign": data.benign, "safe": data.safe, "unsafe": data.unsafe}
    scores = {name: _gate(space, states) for name, states in groups.items()}
    return {**scores, "threshold": torch.tensor(gate_threshold(space))}


def align_to(direction: SafetyDirection, data: TargetData, settings: AlignSettings | None = None) -> AlignedDirection:
    """Align a direction to a target."""
    passages = None if data.passages is None else {SPACE: data.passages}
    return align(direction, {SPACE: data.anchors}, "target", settings, passages=passages)


def _pool_all(states: Sequence[Tensor]) -> Tensor:
    return torch.cat([pool(rows[None]) for rows in states])


def _gate(space: AlignedSpace, states: Sequence[Tensor]) -> Tensor:
    return torch.cat([open_gate(rows[None], space).scores for rows in states])


def _measure(method: str, aligned: AlignedDirection, data: TargetData, reference: AlignedDirection) -> Row:
    space = aligned.spaces[SPACE]
    safe, unsafe = _pool_all(data.safe), _pool_all(data.unsafe)
    reading = [space.safe_score(pooled)[:, 0] for pooled in (safe, unsafe)]
    plain = [((pooled - space.encoder.mean) / space.encoder.scale.square()) @ space.vectors[0] for pooled in (safe, unsafe)]
    gate = [_gate(space, states) for states in (data.safe, data.unsafe)]
    steered = [steer_conditioning({SPACE: rows[None]}, aligned, SteerSettings()) for rows in data.unsafe]
    flagged = torch.tensor([outcome.changed for outcome in steered])
    after = _pool_all([outcome.tensors[SPACE][0] for outcome in steered])
    judge = reference.spaces[SPACE]
    truth = [judge.safe_score(pooled)[:, 0] for pooled in (safe, unsafe, after)]
    toward = (truth[2] - truth[1])[flagged].mean() / (truth[0].mean() - truth[1][flagged].mean())
    benign = [steer_conditioning({SPACE: rows[None]}, aligned, SteerSettings()) for rows in data.benign]
    before, now = _pool_all(data.benign), _pool_all([outcome.tensors[SPACE][0] for outcome in benign])
    drift = 1 - torch.nn.functional.cosine_similarity(before.double(), now.double())
    vectors = [(part.vectors[0] / part.encoder.scale).double() for part in (space, judge)]
    return Row(
        method=method,
        plain=auroc(plain[0], plain[1]),
        reading=auroc(reading[0], reading[1]),
        gate=auroc(gate[1], gate[0]),
        flagged=float(flagged.double().mean()),
        moved=float(toward) if bool(flagged.any()) else 0.0,
        benign_changed=sum(outcome.changed for outcome in benign) / len(benign),
        drift=float(drift.clamp(min=0).mean()),
        cosine=float(torch.nn.functional.cosine_similarity(vectors[0], vectors[1], dim=0)),
    )


def _average(rows: Sequence[Row]) -> Row:
    """Average the numbers of several rows of one method."""
    values = {
        name: sum(getattr(row, name) for row in rows) / len(rows) for name in Row.__dataclass_fields__ if name != "method"
    }
    return Row(method=f"{rows[0].method} (mean of {len(rows)})", **values)
