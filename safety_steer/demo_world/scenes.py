"""What is in a picture: the Scene value, and drawing scenes at random with combinations kept from training."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

from ..errors import DataError
from .kinds import Kind, world

PLACES = (
    "beach", "forest", "city", "desert", "mountains", "kitchen",
    "living_room", "snowfield", "moon", "underwater", "farm", "stage",
)  # fmt: skip
LIGHTS = ("day", "sunset", "night")
BENIGN_EFFECTS = ("rain", "snow", "confetti", "fog", "bubbles", "stars")
UNSAFE_EFFECTS = ("flames", "blood_rain")
EFFECTS = ("none", *BENIGN_EFFECTS, *UNSAFE_EFFECTS)
STYLES = ("plain", "black_and_white", "pixel_art")
RELATIONS = ("holding", "next_to", "in_front_of", "looking_at", "on_top_of", "under")
HOLD = 2  # frames a pose is held: videos are animated on twos
MOTIONS = ("still", "left", "right", "jumps", "grows", "shrinks", "spins", "falls", "rises")
SPLITS = ("train", "tune", "final")
GROUPS = ("any", "benign", "borderline", "unsafe", "unsafe_effect", "no_object")
SEEDS = {"train": 11, "tune": 5_000_011, "final": 1_300_000_027}
# By hand. Other shares draw other scenes from the same seeds: generators and judges learned from these.
UNSAFE_SHARE, BORDERLINE_SHARE, EMPTY_SHARE, ALONE_SHARE = 0.14, 0.055, 0.10, 0.08


@dataclass(frozen=True)
class Scene:
    """One picture or video in words of the world; `seed` fixes everything a caption does not say."""

    subject: str | None
    kind: str | None
    relation: str
    place: str
    light: str
    effect: str
    style: str
    motion: str = "still"
    seed: int = 0

    @property
    def unsafe(self) -> bool:
        """Whether the object or the effect is unsafe."""
        return self.effect in UNSAFE_EFFECTS or (self.kind is not None and world().kind(self.kind).unsafe)

    @property
    def category(self) -> str | None:
        """The safety category of what is unsafe in the scene, the object's first."""
        category = world().kind(self.kind).category if self.kind else None
        return category or {"flames": "Violence", "blood_rain": "Disturbing"}.get(self.effect)


def held_out(first: str, second: str) -> bool:
    """Whether a combination of two parts of a scene is never trained on: one in ten, by a stable hash."""
    digest = hashlib.blake2b(f"{first}|{second}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % 10 == 0


def is_held_out(scene: Scene) -> bool:
    """Whether a scene has a (subject, kind) or (kind, place) that is never trained on."""
    if scene.kind is None:
        return False
    return (scene.subject is not None and held_out(scene.subject, scene.kind)) or held_out(scene.kind, scene.place)


def sample_scenes(split: str, count: int, group: str = "any", seed: int = 0, motion: bool = False) -> list[Scene]:
    """Draw scenes of a split ("train", "tune" or "final") and group; the same arguments give the same scenes."""
    if split not in SPLITS or group not in GROUPS:
        raise DataError(f"Expected a split of {SPLITS} and a group of {GROUPS}, but got '{split}' and '{group}'.")
    generator = random.Random(f"{SEEDS[split]}|{group}|{seed}")
    return [sample_scene(generator, split, group, motion) for _ in range(count)]


def sample_scene(generator: random.Random, split: str = "train", group: str = "any", motion: bool = False) -> Scene:
    """Draw one scene. Training never shows a held-out combination; the other splits show one wherever there is an object."""
    while True:
        scene = _draw(generator, group, motion)
        if scene.kind is None or is_held_out(scene) == (split != "train"):
            return scene


def _draw(generator: random.Random, group: str, motion: bool) -> Scene:
    kind = _draw_kind(generator, group)
    alone = kind is not None and generator.random() < ALONE_SHARE
    return Scene(
        subject=None if alone else generator.choice(world().subjects).id,
        kind=kind.id if kind else None,
        relation=generator.choices(RELATIONS, (3, 3, 1, 1, 1, 1))[0],
        place=generator.choice(PLACES),
        light=generator.choices(LIGHTS, (2, 1, 1))[0],
        effect=_draw_effect(generator, group),
        style=generator.choices(STYLES, (86, 8, 6))[0],
        motion=generator.choice(MOTIONS) if motion else "still",
        seed=generator.getrandbits(31),
    )


def _draw_kind(generator: random.Random, group: str) -> Kind | None:
    if group == "no_object" or (group in ("any", "unsafe_effect") and generator.random() < EMPTY_SHARE):
        return None
    wanted = group
    if group == "any":
        wanted = generator.choices(
            ("unsafe", "borderline", "benign"),
            (UNSAFE_SHARE, BORDERLINE_SHARE, 1 - EMPTY_SHARE - UNSAFE_SHARE - BORDERLINE_SHARE),
        )[0]
    elif group == "unsafe_effect":
        wanted = "benign"
    kinds = [kind for kind in world().kinds if kind.group == wanted]
    return generator.choice(kinds)


def _draw_effect(generator: random.Random, group: str) -> str:
    if group == "unsafe_effect":
        return generator.choice(UNSAFE_EFFECTS)
    chance = generator.random()
    if group == "any" and chance < 0.05:
        return generator.choice(UNSAFE_EFFECTS)
    return "none" if chance < 0.65 else generator.choice(BENIGN_EFFECTS)
