"""Carry a direction into a CLIP_VISION with captioned pictures, as Align Direction (Vision) does; fits are kept on disk."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import comfy.utils
from torch import Tensor

from ...safety_steer.alignment.anchors import PROBE_COUNT, AnchorStates, collect, first_anchors
from ...safety_steer.alignment.vision_ways import WAYS, Captioned, anchors_read
from ...safety_steer.choices import VISION_WAYS
from ...safety_steer.directions.aligned import AlignedDirection
from ...safety_steer.directions.source import SafetyDirection
from ...safety_steer.directions.text_spaces import Place
from .. import direction_text, fit_cache
from ..clip.encode_prompts import encode_prompts, encoder_name, study
from ..progress import moving
from . import picture_sets
from .encode_pictures import encode_pictures, vision_name

if TYPE_CHECKING:
    from comfy.sd import CLIP


def fit_direction(
    direction: SafetyDirection, clip_vision: Any, clip: CLIP, pictures: str, max_pictures: int, way: str
) -> tuple[AlignedDirection, str]:
    """Return the fit by one of the `WAYS`, kept or new, and what to say of it.

    Raises EncoderError without a CLIP vision model, DataError for unusable pictures, AlignmentError for a map no better than
    chance and where the way leads nowhere.
    """
    encoder = vision_name(clip_vision)
    chosen = picture_sets.load(pictures, max_pictures)
    parts = {"vision": chosen.fingerprint, "pictures": len(chosen.captions), "clip": encoder_name(clip)}
    if way != VISION_WAYS[0]:
        parts["way"] = way
    key = fit_cache.fit_key(direction.content_hash, encoder, parts)
    probes = _all(clip_vision, chosen)
    aligned = fit_cache.find(key, {name: Place(name) for name in probes}, lambda _: probes)
    origin = "read from disk"
    if aligned is None:
        aligned, origin = _fit(direction, clip_vision, clip, chosen, encoder, way), "fitted now"
        fit_cache.store(key, aligned)
    text = f"{', '.join(aligned.spaces)} of {encoder}, {origin} ({len(chosen.captions):,} captioned pictures, {pictures})"
    said = [
        f"{name}: through text, as a caption fits its own picture better than {found['agreement']:.1%} of the others"
        for name, found in aligned.report.items()
        if "agreement" in found
    ]
    left_out = [f"left out: {found['left_out']}" for found in aligned.report.values() if "left_out" in found]
    text = "\n".join([text, *said, *left_out, *direction_text.advice(direction)])
    return aligned, text


def _all(clip_vision: Any, chosen: picture_sets.PictureSet) -> dict[str, list[Tensor]]:
    """Return what the model says of the first pictures, one at a time, as they tell one model from another."""
    batches = [batch for picture in chosen.first(PROBE_COUNT) for batch in encode_pictures(clip_vision, [picture], 1)]
    return {name: list(chain.from_iterable(batch[name] for batch in batches)) for name in batches[0]}


def _fit(
    direction: SafetyDirection, clip_vision: Any, clip: CLIP, chosen: picture_sets.PictureSet, encoder: str, way: str
) -> AlignedDirection:
    """Encode anchors, captions and pictures with a progress bar, and align."""
    rows, captions = first_anchors(direction, anchors_read(direction, way)), list(chosen.captions)
    bar = comfy.utils.ProgressBar(len(rows) + 2 * len(captions))
    encoding = study(clip)

    def read(prompts: Sequence[str]) -> dict[str, AnchorStates]:
        return collect(encode_prompts(encoding, prompts, moving(bar)), len(prompts))

    anchors, said = read([direction.anchors[row] for row in rows]), read(captions)
    seen = collect(encode_pictures(clip_vision, chosen.pictures(), len(captions), moving(bar)), len(captions), spans={})
    return WAYS[way](direction, Captioned(captions, seen, said, anchors), encoder)
