"""Align Direction: fit a safety direction to the text encoder of a workflow, with benign prompts only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain
from typing import TYPE_CHECKING

import comfy.utils
from comfy_api.latest import io, ui
from torch import Tensor

from ..adapters import direction_text, fit_cache, node_text
from ..adapters.clip import image_tokens
from ..adapters.clip.encode_prompts import ClipText, encode_prompts, encoder_name, study
from ..adapters.kept_text import kept_text
from ..safety_steer.alignment.align_direction import THRESHOLDS, AlignSettings, align
from ..safety_steer.alignment.anchors import choose_anchors, choose_passages, collect, collect_passages, spans_of
from ..safety_steer.alignment.image_readings import with_image_readings
from ..safety_steer.alignment.maps import MAPS
from ..safety_steer.directions.aligned import AlignedDirection
from ..safety_steer.directions.source import SafetyDirection
from ..safety_steer.errors import DataError
from ..safety_steer.reports.text import partly_reached
from ..safety_steer.storage.prompt_files import clean_prompts
from .inputs import CATEGORY, AlignedDirectionSocket, SafetyDirectionSocket, checked_choice, search_aliases

if TYPE_CHECKING:
    from comfy.sd import CLIP

MAX_TYPED = 2048


class AlignSafetyDirection(io.ComfyNode):
    """Encode benign prompts with a CLIP and fit the direction to it; a fit made before is read from disk."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node to ComfyUI."""
        return io.Schema(
            node_id="AlignSafetyDirection",
            display_name="Align Direction",
            category=CATEGORY,
            **search_aliases("safety", "nsfw", "sfw", "fit direction", "calibrate", "transfer"),
            **kept_text(),
            description="Fit a safety direction to the text encoder of your model. It uses harmless prompts only. The "
            "first time takes a while; after that the fit is read from disk.",
            inputs=[
                SafetyDirectionSocket.Input("direction", tooltip="The direction from Load Safety Direction."),
                io.Clip.Input(
                    "clip",
                    tooltip="The CLIP that encodes your prompts, after any LoRA or clip skip.",
                ),
                io.Combo.Input(
                    "map",
                    options=list(MAPS),
                    default="ridge",
                    tooltip="How the direction is carried over. 'ridge' works best in most cases. 'svd' only turns it, "
                    "and suits few prompts. 'mlp' trains a small network, which is slower.",
                ),
                io.Int.Input(
                    "max_anchors",
                    default=3072,
                    min=64,
                    max=8192,
                    step=64,
                    tooltip="How many harmless prompts to fit with. Fewer is faster and less exact.",
                ),
                io.String.Input(
                    "anchors",
                    default="",
                    multiline=True,
                    optional=True,
                    placeholder="Optional: your own harmless prompts, one per line",
                    tooltip="Harmless prompts in your own style, one per line. They teach the fit what is normal for "
                    "you, so that such prompts are left alone. May stay empty.",
                ),
                io.Combo.Input(
                    "thresholds",
                    options=list(THRESHOLDS),
                    default="all",
                    optional=True,
                    tooltip="What counts as normal. 'all': the bundled harmless prompts and yours. 'own': only yours, 200 "
                    "or more; stricter, and right when your prompts are all of one kind.",
                ),
            ],
            outputs=[
                AlignedDirectionSocket.Output(
                    display_name="direction",
                    tooltip="The direction, fitted to this CLIP. Connect it to Apply Safety Steer or Category Mixer.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls, direction: SafetyDirection, clip: CLIP, map: str, max_anchors: int, anchors: str = "", thresholds: str = "all"
    ) -> io.NodeOutput:
        """Return a kept fit when the encoder still behaves like it, or make and keep a new one."""
        encoder = encoder_name(clip)
        settings = AlignSettings(map=checked_choice("map", map, MAPS, "Align Direction"), thresholds=thresholds)
        encoding = study(clip)
        rows, passages = choose_anchors(direction, max_anchors), choose_passages(direction, max_anchors, thresholds)
        typed = _typed_prompts(anchors)
        parts = {**asdict(settings), "anchors": len(rows), "typed": typed}
        if passages:
            parts["passages"] = len(passages)
        if image_tokens.takes_pictures(clip):
            parts["pictures"] = image_tokens.PROMPTS
        key = fit_cache.fit_key(direction.content_hash, encoder, parts)
        aligned = fit_cache.find(key, encoding.places, lambda prompts: _encode_all(encoding, prompts))
        origin = "read from disk"
        if aligned is None:
            aligned, origin = _fit(direction, encoding, encoder, settings, rows, passages, typed), "fitted now"
            fit_cache.store(key, aligned)
        used = f"{len(rows):,} harmless prompts" + (f" and {len(passages)} long ones" if passages else "")
        text = f"{', '.join(aligned.spaces)} of {encoder}, {origin} ({used}, {map})"
        left_out = [found["left_out"] for found in aligned.report.values() if "left_out" in found]
        left_out = [f"left out: {reason}" for reason in left_out]
        left_out += [partly_reached(encoding.beside)] if encoding.beside else []
        text = "\n".join([text, *left_out, *_untold(aligned), *direction_text.advice(direction)])
        node_text.show(cls.hidden.unique_id, text)
        return io.NodeOutput(aligned, ui=ui.PreviewText(text))


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


def _encode_all(encoding: ClipText, prompts: Sequence[str]) -> dict[str, list[Tensor]]:
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
    states = collect(encode_prompts(encoding, prompts, bar.update), len(prompts), spans={})
    spans = spans_of(states)
    long = collect_passages(encode_prompts(encoding, passages, bar.update), len(passages), spans) if passages else None
    extra = collect(encode_prompts(encoding, typed, bar.update), len(typed), spans=spans) if typed else None
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
