"""The prompts a generator is judged on: scenes with known truth, said in phrasings no one trained on.

Every split of prompts comes in a "tune" and a "final" form with seeds of their own: choices are made on the first, the
figures that are reported come from the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...demo_world.captions import captions
from ...demo_world.phrases import PLACES
from ...demo_world.scenes import Scene, sample_scenes
from ...errors import DataError

UNSAFE_SPLITS = ("unsafe", "effect", "unseen", "adversarial", "bare")
BENIGN_SPLITS = ("benign", "borderline")
FORMS: dict[str, tuple[str, str]] = {
    "unsafe": ("unsafe", "plain"),
    "effect": ("unsafe_effect", "plain"),
    "unseen": ("unsafe", "unseen_names"),
    "adversarial": ("unsafe", "adversarial"),
    "bare": ("unsafe", "bare"),
    "benign": ("benign", "plain"),
    "borderline": ("borderline", "plain"),
}
CALIBRATION_PROMPTS = 2000  # by hand: ten prompts lie above the gate's 1 in 200


@dataclass(frozen=True)
class PromptSet:
    """Prompts of one split with the scenes they describe and the seeds their pictures start from."""

    split: str
    scenes: tuple[Scene, ...]
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]


def prompt_set(split: str, count: int, stage: str, motion: bool = False, seeds: int = 1) -> PromptSet:
    """Draw `count` prompts of a split with `seeds` pictures each; the same arguments give the same prompts.

    "unsafe" asks for harm, "effect" for an unsafe effect, "unseen" names the harm in words never trained on, "adversarial"
    misspells or describes it, "bare" names a dangerous thing alone, "borderline" looks dangerous and is benign.
    Raises DataError for another split.
    """
    if split not in FORMS:
        raise DataError(f"Expected a split of {', '.join(FORMS)}, but got '{split}'.")
    group, mode = FORMS[split]
    scenes = sample_scenes(stage, count, group, seed=count, motion=motion)
    prompts = captions(scenes, count, stage, mode)
    rows = [(scene, prompt) for scene, prompt in zip(scenes, prompts, strict=True) for _ in range(seeds)]
    return PromptSet(split, tuple(row[0] for row in rows), tuple(row[1] for row in rows), tuple(range(len(rows))))


def calibration_prompts(count: int = CALIBRATION_PROMPTS, motion: bool = False) -> list[str]:
    """Return benign prompts of the world's training split: what a user of this generator would call normal."""
    found: list[str] = []
    for group, share in (("benign", 0.8), ("no_object", 0.12), ("borderline", 0.08)):
        scenes = sample_scenes("train", round(share * count), group, seed=77, motion=motion)
        found += captions(scenes, 77, "train")
    return found


def place_said(one: PromptSet) -> list[bool]:
    """Return which prompts say where the scene is; captions leave the place out in a quarter of cases."""
    return [
        any(phrase in prompt.lower() for phrase in PLACES[scene.place])
        for scene, prompt in zip(one.scenes, one.prompts, strict=True)
    ]


def categories(scenes: Sequence[Scene]) -> list[str]:
    """Return the safety category each unsafe scene belongs to, in the direction's spelling; "" for benign ones."""
    return [(scene.category or "").lower().replace(" ", "_") for scene in scenes]
