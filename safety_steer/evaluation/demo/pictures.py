"""Pictures in: a direction brought to the demo's CLIP vision by the ways of Align Direction (Vision), a reference, controls.

Every method steers all that is seen in the same pictures by the call that nodes make. The ways have harmless captioned pictures
and the direction's own prompts alone; the native direction comes from unsafe pictures, each beside a twin that differs in the
unsafe thing alone.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ...alignment.align_direction import AlignSettings
from ...alignment.anchors import AnchorStates, collect
from ...alignment.vision import align_pictures
from ...alignment.vision_ways import WAYS, Captioned
from ...demo_world.drawn_pictures import drawn_scenes
from ...demo_world.kinds import world
from ...demo_world.pictures import PictureStates
from ...demo_world.scenes import UNSAFE_EFFECTS, Scene, sample_scenes
from ...directions.aligned import AlignedDirection
from ...directions.pooling import pool
from ...directions.source import ModelIdentity, SafetyDirection
from ...directions.vision_spaces import LAST, put_back, take
from ...errors import DataError
from ...extraction.extract_direction import fit_direction
from ...extraction.text_model import Progress
from ...steering.gate import FALSE_POSITIVE_RATE
from ...steering.presets import FIRM, PRESETS
from ...steering.steer_conditioning import SteerSettings
from ...steering.steer_pictures import steer_output
from ...storage.prompt_files import Pair
from ..transfer import shuffled_direction
from .methods import NATIVE, NONE, SPACE, STANDARD, Method, Steer, randomly_moved
from .session import DemoSession

PICTURES = 2048  # harmless ones with captions, as many as in the template
TWINS = 1500  # unsafe ones, for the native direction
EYES, THROUGH = "the demo's CLIP vision", " through text"
THROUGH_TEXT = replace(STANDARD, name=f"transferred{THROUGH}", kind=f"transferred{THROUGH}")
# The end of a method's name and kind: the preset's gate opens for 1 in 100 harmless pictures, not for 1 in 200 as at standard.
LOOSER, LOOSER_RATE = ", 1 in 100", PRESETS[FIRM].false_positive_rate


@dataclass(frozen=True)
class PictureInputs:
    """What methods for pictures are built from: `direction` comes from a language model, `native` from unsafe pictures, and
    `known` holds harmless captioned pictures as the eyes and the text model know them.
    """

    direction: SafetyDirection
    native: SafetyDirection
    known: Captioned


def picture_methods(video: bool = False) -> list[Method]:
    """Return the methods of the table; for videos, which take longer, only the way through text and its reference."""
    controls = [
        replace(STANDARD, name=f"{name}{way}", kind=f"{kind}{way}")
        for way in ("", THROUGH)
        for name, kind in (("shuffled anchors", "shuffled"), ("random direction", "random"))
    ]
    steered = [THROUGH_TEXT, NATIVE] if video else [STANDARD, THROUGH_TEXT, NATIVE]
    return [NONE, *(one for some in (steered, [] if video else controls) for one in (*some, *map(_looser, some)))]


def _looser(method: Method) -> Method:
    return replace(method, name=method.name + LOOSER, kind=method.kind + LOOSER)


def picture_inputs(session: DemoSession, direction: SafetyDirection, progress: Progress | None = None) -> PictureInputs:
    """Show the eyes harmless pictures with captions and unsafe ones with their twins, and read captions and anchors."""
    scenes, captions = drawn_scenes(PICTURES)
    pictures = collected(session.seen(scenes))
    anchors, said = (
        collect([{SPACE: session.states(prompts, progress)}], len(prompts)) for prompts in (direction.anchors, captions)
    )
    native = native_direction(session, pictures[LAST], captions)
    return PictureInputs(direction, native, Captioned(captions, pictures, said, anchors))


def collected(seen: Sequence[PictureStates]) -> dict[str, AnchorStates]:
    """Gather what is seen in pictures, by vision space, as Align Direction (Vision) does."""
    batches = ({name: [part.flatten(0, -2)] for name, part in take(one).items()} for one in seen)
    return collect(batches, len(seen))


def native_direction(session: DemoSession, benign: AnchorStates, captions: Sequence[str]) -> SafetyDirection:
    """Extract a direction from unsafe pictures of the training split and their twins, in pooled last states."""
    unsafe = [scene for group in ("unsafe", "unsafe_effect") for scene in sample_scenes("train", TWINS // 2, group, seed=5)]
    safe, harmful = (
        torch.cat([pool(one.last_hidden_state) for one in session.seen(scenes)])
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
    """Align the direction a method uses to what the demo's eyes say, with nothing but harmless prompts and pictures."""
    kind, direction, known = method.kind.removesuffix(LOOSER), inputs.direction, inputs.known
    way, base = "through text" if kind.endswith(THROUGH) else "pictures", kind.removesuffix(THROUGH)
    settings = AlignSettings(map=method.map, require_better_than_chance=base != "shuffled")
    if base == "native":
        seen = known.pictures[LAST]
        states = inputs.native.standardise(seen.pooled).float()
        return align_pictures(inputs.native, known.captions, states, {LAST: seen}, EYES, settings)
    if base not in ("transferred", "shuffled", "random"):
        raise DataError(f"There is no method for pictures of the kind '{method.kind}'.")
    if base == "shuffled" and way == "pictures":
        known = replace(known, said={name: _shuffled(states) for name, states in known.said.items()})
    elif base == "shuffled":
        direction = shuffled_direction(direction, 0)
    return WAYS[way](direction, known, EYES, settings)


def picture_steering(method: Method, inputs: PictureInputs) -> Steer | None:
    """Build what a method does to pictures as they are seen, one by one; None where it leaves them alone."""
    if method.kind == "none":
        return None
    aligned = aligned_for(method, inputs)
    rate = LOOSER_RATE if method.kind.endswith(LOOSER) else FALSE_POSITIVE_RATE
    settings = SteerSettings(method.strength, method.operator, method.gate, rate)

    def steer(pictures: Sequence[PictureStates]) -> list[PictureStates]:
        made = [steer_output(picture, aligned, settings)[0] for picture in pictures]
        if not method.kind.startswith("random"):
            return made
        before, after = ([one.last_hidden_state[0] for one in part] for part in (pictures, made))
        moved = randomly_moved(before, after)
        return [put_back(picture, {LAST: states[None]}) for picture, states in zip(pictures, moved, strict=True)]

    return steer


def _shuffled(states: AnchorStates) -> AnchorStates:
    order = torch.randperm(len(states), generator=torch.Generator().manual_seed(0)).tolist()
    return AnchorStates(states.pooled[order], [])
