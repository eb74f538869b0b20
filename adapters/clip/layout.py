"""Where a ComfyUI CLIP puts its text: what the entry it gives shows, and a table of what it does not.

Encoders side by side on the channels (SDXL), or layers of one (Flux.2), describe the same token together and are one space,
which tells unsafe from safe better than its parts do. Encoders after each other on the tokens (SD3) are spaces of their own,
and so are layers in a tensor of layers (HiDream), which different blocks of a generator read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...safety_steer.directions.text_spaces import MAIN_TEXT, SIDE_TEXT, Place

STATES, POOLED = "cross_attn", "pooled_output"
# By the keys of a CLIP's tokens: encoders side by side on the first tokens, and one on the tokens after them.
AFTER_EACH_OTHER = {frozenset({"g", "l", "t5xxl"}): (("clip_l", "clip_g"), "t5xxl")}


def places(tokens: Mapping[str, Any], entry: Mapping[str, Any], widths: Mapping[str, int]) -> dict[str, Place]:
    """Return the text spaces of an encoder by name, given the tokens and the entry of one prompt, and its parts' widths."""
    found: dict[str, Place] = {}
    for key in (*MAIN_TEXT, *SIDE_TEXT):
        tensor = entry.get(key)
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            continue
        width = tensor.shape[-1]
        if tensor.ndim == 4:
            found |= {f"{key}/layer_{layer + 1}": Place(key, width=width, layer=layer) for layer in range(tensor.shape[1])}
        elif key == STATES and frozenset(tokens) in AFTER_EACH_OTHER:
            found |= _after_each_other(*AFTER_EACH_OTHER[frozenset(tokens)], width, widths)
        else:
            found[key] = Place(key, width=width)
    return found


def _after_each_other(first: tuple[str, ...], second: str, width: int, widths: Mapping[str, int]) -> dict[str, Place]:
    """Return the places of encoders of which the first are narrower and padded with zeros; a missing one has no place."""
    edge = sum(widths.get(name, 0) for name in first)
    found = {}
    if edge:
        name = "_".join(["clip", *(part.removeprefix("clip_") for part in first if part in widths)])
        found[f"{STATES}/{name}"] = Place(STATES, stop=edge, width=width, rows="narrow", edge=edge)
    if second in widths:
        found[f"{STATES}/{second}"] = Place(STATES, width=width, rows="wide", edge=edge)
    return found
