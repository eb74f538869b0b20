"""Parts that several examples share: the steering nodes, prompts, and what comes behind a sampler.

Columns are 440 apart, each 400 wide. The steering nodes stand in the first row, columns B to D; ROW is where the second begins.
"""

from __future__ import annotations

from typing import Any

from safety_steer.storage.bundled import SOURCE

from .sheet import GREEN, Node, Sheet, Wire

A, B, C, D, E, F = 0, 440, 880, 1320, 1760, 2200
WIDE, ROW = 400, 660
FIRST_TIME = "The first time, Align Direction fits the direction to your text encoder. Later it reads the fit from disk."
WHAT_IT_DID = (
    "After sampling, Apply Safety Steer says what it did to your prompt, and Safety Report shows it word by word. A harmless "
    "prompt is left as it is: put in one of your own and try."
)
AFTERWARDS = (
    WHAT_IT_DID,
    "It is a nudge to the prompt, not a filter: it does not look at pictures, it errs both ways, and it is no guarantee. To "
    "turn it off, set preset to off.",
)


def steering(sheet: Sheet, model: Wire, clip: Wire, **align: Any) -> Node:
    """Add the row of steering nodes to columns B, C and D; returns Apply Safety Steer."""
    aligned, loaded = align_nodes(sheet, clip, **align)
    mixer = sheet.add("SafetyCategoryMixer", (C, 0), (WIDE, 315), direction=aligned["direction"])
    applied = apply_node(sheet, (D, 0), model, mixer["direction"])
    sheet.group("Safety Steer", GREEN, loaded, aligned, mixer, applied)
    return applied


def align_nodes(sheet: Sheet, clip: Wire, direction: str = SOURCE, **align: Any) -> tuple[Node, Node]:
    """Add Load Safety Direction and Align Direction to column B; returns the aligned one and the loader."""
    loaded = sheet.add("LoadSafetyDirection", (B, 0), (WIDE, 130), direction_name=direction)
    aligned = sheet.add("AlignSafetyDirection", (B, 190), (WIDE, 310), direction=loaded["direction"], clip=clip, **align)
    return aligned, loaded


def apply_node(
    sheet: Sheet,
    pos: tuple[int, int],
    model: Wire,
    direction: Wire,
    title: str = "",
    vision_direction: Wire | None = None,
    **settings: Any,
) -> Node:
    """Add Apply Safety Steer, with room for what it says."""
    more = settings if vision_direction is None else {"vision_direction": vision_direction, **settings}
    return sheet.add("ApplySafetySteer", pos, (WIDE, 430), title, model=model, direction=direction, **more)


def prompts(sheet: Sheet, pos: tuple[int, int], clip: Wire, positive: str, negative: str = "") -> tuple[Node, Node]:
    """Add the positive and the negative prompt, one below the other."""
    left, top = pos
    first = sheet.add("CLIPTextEncode", (left, top), (WIDE, 140), "Positive prompt", clip=clip, text=positive)
    second = sheet.add("CLIPTextEncode", (left, top + 190), (WIDE, 110), "Negative prompt", clip=clip, text=negative)
    return first, second


def sampler(sheet: Sheet, pos: tuple[int, int], model: Wire, texts: tuple[Wire, Wire], latent: Wire, **more: Any) -> Node:
    """Add a KSampler."""
    wires: dict[str, Any] = {"model": model, "positive": texts[0], "negative": texts[1], "latent_image": latent}
    return sheet.add("KSampler", pos, (WIDE, 265), **{"title": "", **more}, **wires)


def decoded(sheet: Sheet, pos: tuple[int, int], latent: Wire, vae: Wire) -> Node:
    """Add VAE Decode."""
    return sheet.add("VAEDecode", pos, (WIDE, 50), samples=latent, vae=vae)


def report(sheet: Sheet, pos: tuple[int, int], applied: Node, after: Wire, clip: Wire, title: str = "") -> Node:
    """Add Safety Report, with room for its picture."""
    wires = {"report": applied["report"], "after": after, "clip": clip}
    return sheet.add("SafetyReport", pos, (WIDE, 700), title, **wires)


def video(sheet: Sheet, pos: tuple[int, int], images: Wire, fps: float) -> Node:
    """Add Create Video."""
    return sheet.add("CreateVideo", pos, (WIDE, 80), images=images, fps=fps)
