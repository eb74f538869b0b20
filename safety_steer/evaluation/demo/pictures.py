"""Pictures in: a direction carried to the demo's CLIP vision by harmless captioned pictures, its upper reference and controls.

Every method steers the last states of the same pictures, and ends as an AlignedDirection made by the same code. The demo's eyes
speak the language of a text model, so that a direction can also come through text: aligned with prompts, and with limits from
harmless pictures. The native direction comes from unsafe pictures, each beside a twin that differs in the unsafe thing alone.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...alignment.align_direction import AlignSettings, align
from ...alignment.anchors import AnchorStates, collect
from ...alignment.vision import align_pictures, captions_in_source
from ...demo_world.drawn_pictures import drawn_scenes
from ...demo_world.kinds import world
from ...demo_world.scenes import UNSAFE_EFFECTS, Scene, sample_scenes
from ...directions.aligned import AlignedDirection
from ...directions.pooling import pool
from ...directions.source import ModelIdentity, SafetyDirection
from ...directions.text_spaces import Place
from ...directions.vision_spaces import LAST
from ...errors import DataError
from ...extraction.extract_direction import fit_direction
from ...extraction.text_model import Progress
from ...steering.gate import FALSE_POSITIVE_RATE
from ...steering.steer_conditioning import SteerSettings
from ...steering.steer_pictures import steer_pictures
from ...storage.prompt_files import Pair
from .methods import NATIVE, NONE, STANDARD, Method, Steer, randomly_moved
from .session import DemoSession

PICTURES = 2048  # harmless ones with captions
TWINS = 1500  # unsafe ones, for the native direction
EYES, PLACE = "the demo's CLIP vision", {LAST: Place(LAST)}
THROUGH_TEXT = replace(STANDARD, name="transferred through text", kind="through text")
# The end of a method's name and kind: its gate opens for 1 in 100 harmless pictures, not for 1 in 200 as at standard.
LOOSER, LOOSER_RATE = ", 1 in 100", 0.01


@dataclass(frozen=True)
class PictureInputs:
    """What methods for pictures are built from: what is seen in harmless pictures, and their captions' source states.

    `direction` comes from a language model, `native` from unsafe pictures. `anchors` and `passages` are the text model's states
    of the direction's own prompts.
    """

    direction: SafetyDirection
    native: SafetyDirection
    captions: tuple[str, ...]
    seen: AnchorStates
    source: Tensor
    anchors: AnchorStates
    passages: AnchorStates | None


def picture_methods() -> list[Method]:
    """Return the methods of the table."""
    controls = [
        replace(STANDARD, name="shuffled anchors", kind="shuffled"),
        replace(STANDARD, name="random direction", kind="random"),
    ]
    looser = [
        replace(method, name=method.name + LOOSER, kind=method.kind + LOOSER) for method in (STANDARD, THROUGH_TEXT, NATIVE)
    ]
    return [NONE, STANDARD, THROUGH_TEXT, NATIVE, *looser, *controls]


def picture_inputs(session: DemoSession, direction: SafetyDirection, progress: Progress | None = None) -> PictureInputs:
    """Show the tower harmless pictures with captions and unsafe ones with their twins, and read captions and anchors."""
    scenes, captions = drawn_scenes(PICTURES)
    seen = _collected(session.seen(scenes))
    anchors = _collected(session.states(direction.anchors, progress))
    source = captions_in_source(direction, anchors, _collected(session.states(captions, progress)))
    passages = _collected(session.states(direction.passages, progress))[LAST] if direction.passages else None
    native = native_direction(session, seen[LAST], captions)
    return PictureInputs(direction, native, tuple(captions), seen[LAST], source, anchors[LAST], passages)


def native_direction(session: DemoSession, benign: AnchorStates, captions: Sequence[str]) -> SafetyDirection:
    """Extract a direction from unsafe pictures of the training split and their twins, in pooled last states."""
    unsafe = [scene for group in ("unsafe", "unsafe_effect") for scene in sample_scenes("train", TWINS // 2, group, seed=5)]
    safe, harmful = (
        torch.cat([pool(states[None]) for states in session.seen(scenes)])
        for scenes in ([safe_twin(scene) for scene in unsafe], unsafe)
    )
    pairs = [Pair(f"safe {number}", f"unsafe {number}", _category(scene)) for number, scene in enumerate(unsafe)]
    return fit_direction(
        source=ModelIdentity("the demo's own tower", "", benign.pooled.shape[1], 1),
        layers=(1,),
        pooling="mean",
        estimator="mean",
        pairs=pairs,
        anchors=captions,
        activations=(safe, harmful, benign.pooled),
        report={},
    )


def safe_twin(scene: Scene) -> Scene:
    """Return the scene with a harmless kind of thing in place of an unsafe one, and without an unsafe effect."""
    harmless = [kind.id for kind in world().kinds if kind.group == "benign"]
    unsafe = scene.kind is not None and world().kind(scene.kind).unsafe
    kind = random.Random(f"twin|{scene.seed}").choice(harmless) if unsafe else scene.kind
    return replace(scene, kind=kind, effect="none" if scene.effect in UNSAFE_EFFECTS else scene.effect)


def _category(scene: Scene) -> str:
    return (scene.category or "").lower().replace(" ", "_")


def aligned_for(method: Method, inputs: PictureInputs) -> AlignedDirection:
    """Align the direction a method uses to what the demo's CLIP vision says, with nothing but harmless prompts and pictures."""
    direction, source = inputs.direction, inputs.source
    kind = method.kind.removesuffix(LOOSER)
    if kind == "through text":
        passages = None if inputs.passages is None else {LAST: inputs.passages}
        settings = AlignSettings(map=method.map, thresholds="own")
        return align(
            direction, {LAST: inputs.anchors}, EYES, settings, extra_benign={LAST: inputs.seen}, places=PLACE, passages=passages
        )
    if kind == "native":
        direction, source = inputs.native, inputs.native.standardise(inputs.seen.pooled).float()
    elif kind == "shuffled":
        source = source[torch.randperm(len(source), generator=torch.Generator().manual_seed(0))]
    elif kind not in ("transferred", "random"):
        raise DataError(f"There is no method for pictures of the kind '{method.kind}'.")
    settings = AlignSettings(map=method.map, require_better_than_chance=kind != "shuffled")
    return align_pictures(direction, inputs.captions, source, {LAST: inputs.seen}, EYES, settings)


def picture_steering(method: Method, inputs: PictureInputs) -> Steer | None:
    """Build what a method does to last states (S, D), picture by picture; None where it leaves them alone."""
    if method.kind == "none":
        return None
    aligned = aligned_for(method, inputs)
    rate = LOOSER_RATE if method.kind.endswith(LOOSER) else FALSE_POSITIVE_RATE
    settings = SteerSettings(method.strength, method.operator, method.gate, rate)

    def steer(states: Sequence[Tensor]) -> list[Tensor]:
        result = [steer_pictures({LAST: rows[None]}, aligned, settings, check=False).tensors[LAST][0] for rows in states]
        return randomly_moved(states, result) if method.kind == "random" else result

    return steer


def _collected(states: Sequence[Tensor]) -> dict[str, AnchorStates]:
    return collect([{LAST: states}], len(states))
