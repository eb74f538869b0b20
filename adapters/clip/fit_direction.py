"""Fit a direction to a CLIP: the kept fit where the encoder still behaves like it, or a new one from its harmless prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain
from typing import TYPE_CHECKING

import comfy.utils
from torch import Tensor

from ...safety_steer.alignment.align_direction import AlignSettings, align
from ...safety_steer.alignment.anchors import choose_anchors, choose_passages, collect, collect_passages, spans_of
from ...safety_steer.alignment.image_readings import with_image_readings
from ...safety_steer.directions.aligned import AlignedDirection
from ...safety_steer.directions.source import SafetyDirection
from ...safety_steer.errors import DataError
from ...safety_steer.reports.text import partly_reached
from ...safety_steer.storage.prompt_files import clean_prompts
from .. import direction_text, fit_cache
from ..progress import moving
from . import image_tokens
from .encode_prompts import ClipText, encode_prompts, encoder_name, study

if TYPE_CHECKING:
    from comfy.sd import CLIP

MAX_TYPED = 2048  # by hand: each is encoded at every new fit


def fit_direction(
    direction: SafetyDirection, clip: CLIP, map: str, max_anchors: int, anchors: str, thresholds: str
) -> tuple[AlignedDirection, str]:
    """Return the direction fitted to the encoder, and what to say about the fit; `anchors` are prompts a user typed, in lines.

    Raises EncoderError, AlignmentError and DataError.
    """
    encoder, settings = encoder_name(clip), AlignSettings(map=map, thresholds=thresholds)
    encoding = study(clip)
    rows, passages = choose_anchors(direction, max_anchors), choose_passages(direction, max_anchors, thresholds)
    typed = _typed_prompts(anchors)
    parts = {**asdict(settings), "anchors": len(rows), "typed": typed}
    if rows != list(range(len(rows))):
        parts["rows"] = rows
    if passages:
        parts["passages"] = len(passages)
    if image_tokens.takes_pictures(clip):
        parts["pictures"] = image_tokens.PROMPTS
    key = fit_cache.fit_key(direction.content_hash, encoder, parts)
    aligned = fit_cache.find(key, encoding.places, lambda prompts: encode_all(encoding, prompts))
    origin = "read from disk"
    if aligned is None:
        aligned, origin = _fit(direction, encoding, encoder, settings, rows, passages, typed), "fitted now"
        fit_cache.store(key, aligned)
    used = f"{len(rows):,} harmless prompts" + (f" and {len(passages)} long ones" if passages else "")
    text = f"{', '.join(aligned.spaces)} of {encoder}, {origin} ({used}, {map})"
    return aligned, "\n".join([text, *said_of_fit(aligned, encoding), *direction_text.advice(direction)])


def said_of_fit(aligned: AlignedDirection, encoding: ClipText) -> list[str]:
    """Say what of an encoder's text a fit does not reach, and why; nothing where it reaches all."""
    left_out = [found["left_out"] for found in aligned.report.values() if "left_out" in found]
    left_out = [f"left out: {reason}" for reason in left_out]
    left_out += [partly_reached(encoding.beside)] if encoding.beside else []
    return [*left_out, *_untold(aligned)]


def _typed_prompts(text: str) -> list[str]:
    if not text.strip():
        return []
    prompts = clean_prompts(text.splitlines(), "The anchors input of Align Direction")
    if len(prompts) > MAX_TYPED:
        raise DataError(
            f"The anchors input of Align Direction holds {len(prompts):,} prompts; at most {MAX_TYPED:,} are allowed. "
            "Keep those most like what you make."
        )
    return prompts


def encode_all(encoding: ClipText, prompts: Sequence[str]) -> dict[str, list[Tensor]]:
    """Return the text spaces (T_i, D) of all prompts at once, by name."""
    batches = list(encode_prompts(encoding, prompts))
    return {space: list(chain.from_iterable(batch[space] for batch in batches)) for space in batches[0]}


def _fit(
    direction: SafetyDirection,
    encoding: ClipText,
    encoder: str,
    settings: AlignSettings,
    rows: Sequence[int],
    passages: Sequence[str],
    typed: Sequence[str],
) -> AlignedDirection:
    """Encode the anchors, the passages and the typed prompts with a progress bar, and align."""
    bar = comfy.utils.ProgressBar(len(rows) + len(passages) + len(typed))
    prompts = [direction.anchors[row] for row in rows]
    states = collect(encode_prompts(encoding, prompts, moving(bar)), len(prompts), spans={})
    spans = spans_of(states)
    long = collect_passages(encode_prompts(encoding, passages, moving(bar)), len(passages), spans) if passages else None
    extra = collect(encode_prompts(encoding, typed, moving(bar)), len(typed), spans=spans) if typed else None
    aligned = align(
        direction, states, encoder, settings, anchors=rows, extra_benign=extra, places=encoding.places, passages=long
    )
    words = {name: [*found.tokens, *(extra[name].tokens if extra else ())] for name, found in states.items()}
    return with_image_readings(aligned, words, image_tokens.samples(encoding, prompts))


def _untold(aligned: AlignedDirection) -> list[str]:
    """Say in which spaces the rows of pictures could not be told from words."""
    return [
        f"{name}: image tokens cannot be told from words here; prompts with an image are left alone"
        for name, space in aligned.spaces.items()
        if space.images is not None and not bool(space.images.image_readings.any())
    ]
