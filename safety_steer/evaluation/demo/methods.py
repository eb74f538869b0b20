"""The methods that are compared: how each one turns a prompt's token states into what the generator is given.

Every method sees the same prompts, seeds and generator. A method steers the positive context; a negative prompt and
safe latent diffusion change the guidance instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...alignment.align_direction import AlignSettings, align
from ...alignment.anchors import AnchorStates
from ...categories import GLOBAL
from ...demo_world.pictures import PictureStates
from ...directions.aligned import AlignedDirection
from ...directions.source import SafetyDirection
from ...errors import DataError
from ...steering.presets import PRESETS
from ...steering.steer_conditioning import SteerSettings, steer_conditioning
from ..transfer import shuffled_direction
from .baselines import safree_projection

SPACE = "cross_attn"
Given = Tensor | PictureStates  # token states of a prompt, or what is seen in a picture
Steer = Callable[[Sequence[Any]], list[Any]]  # of one of them, and to the same
UNSAFE_CONCEPTS = (
    "violence, murder, weapons, guns, knives, bombs",
    "blood, gore, corpses, horror, monsters",
    "illegal drugs, theft, crime",
    "racism, hate, extremism",
    "bullying, humiliation, insults",
    "nudity, sex, pornography",
)


@dataclass(frozen=True)
class Method:
    """One row of the table: `kind` says how it works, the rest with which settings; "-" where a setting has no meaning."""

    name: str
    kind: str
    map: str = "-"
    operator: str = "-"
    gate: str = "-"
    strength: float = 0.0


NONE = Method("none", "none")
STANDARD = Method("transferred", "transferred", "ridge", "erase", "hard", 1.0)
DEFAULT = replace(STANDARD, name="transferred, bundled prompts only", kind="bundled")
NATIVE = replace(STANDARD, name="native", kind="native")
PRESET_METHODS = [
    replace(STANDARD, name=f"transferred, {preset}", kind=preset, strength=PRESETS[preset].strength)
    for preset in ("gentle", "strict")
]


def default_methods(quick: bool, video: bool = False) -> list[Method]:
    """Return the methods of the table; the quick form leaves out all but one strength of most, and for videos, which take
    eight times as long, all but the standard method with and without own prompts, its references and its controls.
    """
    methods = [
        NONE,
        Method("negative prompt", "negative"),
        DEFAULT,
        STANDARD,
        NATIVE,
        replace(STANDARD, name="shuffled anchors", kind="shuffled"),
        replace(STANDARD, name="random direction", kind="random"),
    ]
    if quick and video:
        return [*methods, *PRESET_METHODS]
    methods += [
        Method("SLD", "sld", strength=1.0),
        Method("SAFREE-style", "safree", strength=1.0),
        replace(STANDARD, operator="clip", strength=8.0),
        replace(STANDARD, operator="project"),
        replace(STANDARD, operator="add", strength=5.0),
        replace(STANDARD, map="svd"),
        replace(STANDARD, map="mlp"),
        replace(STANDARD, gate="off"),
        replace(STANDARD, name="transferred, per category", kind="per category"),
    ]
    methods += PRESET_METHODS
    if not quick:
        methods += [replace(STANDARD, operator="clip", strength=value) for value in (1.0, 4.0, 16.0)]
        methods += [replace(STANDARD, operator="add", strength=value) for value in (3.0, 7.0)]
        methods += [Method("SLD", "sld", strength=value) for value in (0.5, 2.0)]
    return methods


def curve_methods() -> list[Method]:
    """Return the standard method and its upper reference at other strengths, for the trade-off of safety against fidelity."""
    return [replace(method, strength=value) for method in (STANDARD, NATIVE) for value in (0.25, 0.5, 0.75, 2.0)]


@dataclass(frozen=True)
class MethodInputs:
    """What methods are built from: directions, the target's states of anchors and of its own normal prompts, and concepts.

    `concepts` are token states of UNSAFE_CONCEPTS. `native` is a direction of the target itself, or None. `passages` are the
    target's states of the direction's long harmless prompts, None where there are none.
    """

    direction: SafetyDirection
    native: SafetyDirection | None
    anchors: AnchorStates
    own: AnchorStates
    concepts: Sequence[Tensor]
    passages: AnchorStates | None = None


def steering(method: Method, inputs: MethodInputs) -> Steer | None:
    """Build what a method does to token states (T_i, D), prompt by prompt; None for methods that leave them alone."""
    if method.kind in ("none", "negative", "sld"):
        return None
    if method.kind == "safree":
        return lambda states: [safree_projection(rows, inputs.concepts) for rows in states]
    aligned = aligned_for(method, inputs)
    settings = PRESETS.get(method.kind, SteerSettings(method.strength, method.operator, method.gate))

    def steer(states: Sequence[Tensor]) -> list[Tensor]:
        result = [steer_conditioning({SPACE: rows[None]}, aligned, settings, check=False).tensors[SPACE][0] for rows in states]
        return randomly_moved(states, result) if method.kind == "random" else result

    return steer


def aligned_for(method: Method, inputs: MethodInputs) -> AlignedDirection:
    """Align the direction a method uses to the target, with thresholds from the target's own normal prompts.

    The kind "bundled" has none of them: only the direction's anchors and passages say what is normal.
    """
    direction = inputs.native if method.kind == "native" else inputs.direction
    if direction is None:
        raise DataError("The native method needs a direction made in the generator's own text model. Give --native.")
    if method.kind == "shuffled":
        direction = shuffled_direction(direction, 0)
    thresholds = "all" if method.kind == "bundled" else "own"
    settings = AlignSettings(map=method.map, thresholds=thresholds, require_better_than_chance=method.kind != "shuffled")
    own = None if method.kind == "bundled" else {SPACE: inputs.own}
    passages = None if inputs.passages is None else {SPACE: inputs.passages}
    aligned = align(direction, {SPACE: inputs.anchors}, "target", settings, extra_benign=own, passages=passages)
    if method.kind == "per category":
        strengths: Mapping[str, float] = {name: 1.0 for name in aligned.categories if name != GLOBAL}
        return replace(aligned, strengths=strengths)
    return aligned


def randomly_moved(before: Sequence[Tensor], after: Sequence[Tensor]) -> list[Tensor]:
    """Move the tokens a method moved equally far in one random direction, the same for all: the control of equal norm."""
    width = before[0].shape[-1]
    axis = torch.randn(width, generator=torch.Generator().manual_seed(0))
    axis = axis / axis.norm()
    return [old + (new - old).norm(dim=-1, keepdim=True) * axis for old, new in zip(before, after, strict=True)]
