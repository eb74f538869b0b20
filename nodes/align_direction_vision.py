"""Align Direction (Vision): fit a safety direction to the CLIP vision of a workflow, with harmless captioned pictures only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import comfy.utils
from comfy_api.latest import io, ui
from torch import Tensor

from ..adapters import direction_text, fit_cache, node_text
from ..adapters.clip.encode_prompts import encode_prompts, encoder_name, study
from ..adapters.clip_vision import picture_sets
from ..adapters.clip_vision.encode_pictures import encode_pictures, vision_name
from ..adapters.kept_text import kept_text
from ..safety_steer.alignment.anchors import PROBE_COUNT, choose_anchors, collect
from ..safety_steer.alignment.vision import align_pictures, captions_in_source
from ..safety_steer.directions.source import SafetyDirection
from ..safety_steer.directions.text_spaces import Place
from .inputs import CATEGORY, AlignedDirectionSocket, SafetyDirectionSocket, search_aliases

if TYPE_CHECKING:
    from comfy.sd import CLIP

    from ..safety_steer.directions.aligned import AlignedDirection

ANCHORS = 1536  # of the direction's own prompts, for the way from the text encoder to its source


class AlignSafetyDirectionVision(io.ComfyNode):
    """Show captioned pictures to a CLIP vision model and fit the direction to it; a fit made before is read from disk."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node to ComfyUI."""
        return io.Schema(
            node_id="AlignSafetyDirectionVision",
            display_name="Align Direction (Vision)",
            category=CATEGORY,
            **search_aliases("safety", "nsfw", "sfw", "fit direction", "image to video", "clip vision", "ip-adapter", "redux"),
            **kept_text(),
            description="Fit a safety direction to the CLIP vision model of your workflow, so that pictures that come in can "
            "be steered. It uses harmless pictures with captions only. The first time takes a while; after that the fit is "
            "read from disk.",
            inputs=[
                SafetyDirectionSocket.Input("direction", tooltip="The direction from Load Safety Direction."),
                io.ClipVision.Input("clip_vision", tooltip="The CLIP vision model that looks at your picture."),
                io.Clip.Input(
                    "clip",
                    tooltip="A CLIP that reads the captions: best that of your prompts. It says what the captions mean to the "
                    "direction.",
                ),
                io.Combo.Input(
                    "pictures",
                    options=picture_sets.names(),
                    default=picture_sets.DRAWN,
                    tooltip="A folder in ComfyUI's input folder with harmless pictures like those you use, each with a text "
                    "file of the same name that says what it shows, as for LoRA training. 'drawn scenes' are cartoons that "
                    "come with Safety Steer, for the demo.",
                ),
                io.Int.Input(
                    "max_pictures",
                    default=1024,
                    min=64,
                    max=8192,
                    step=64,
                    tooltip="How many of the pictures to fit with. Fewer is faster and less exact.",
                ),
            ],
            outputs=[
                AlignedDirectionSocket.Output(
                    display_name="direction",
                    tooltip="The direction, fitted to this CLIP vision model. Connect it to vision_direction of Apply Safety "
                    "Steer, or to Apply Safety Steer (CLIP Vision Output).",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls, direction: SafetyDirection, clip_vision: Any, clip: CLIP, pictures: str, max_pictures: int
    ) -> io.NodeOutput:
        """Return a kept fit when the model still sees like it, or make and keep a new one."""
        encoder = vision_name(clip_vision)
        chosen = picture_sets.load(pictures, max_pictures)
        parts = {"vision": chosen.fingerprint, "pictures": len(chosen.captions), "clip": encoder_name(clip)}
        key = fit_cache.fit_key(direction.content_hash, encoder, parts)
        probes = _all(clip_vision, chosen)
        aligned = fit_cache.find(key, {name: Place(name) for name in probes}, lambda _: probes)
        origin = "read from disk"
        if aligned is None:
            aligned, origin = _fit(direction, clip_vision, clip, chosen, encoder), "fitted now"
            fit_cache.store(key, aligned)
        text = f"{', '.join(aligned.spaces)} of {encoder}, {origin} ({len(chosen.captions):,} captioned pictures, {pictures})"
        left_out = [f"left out: {found['left_out']}" for found in aligned.report.values() if "left_out" in found]
        text = "\n".join([text, *left_out, *direction_text.advice(direction)])
        node_text.show(cls.hidden.unique_id, text)
        return io.NodeOutput(aligned, ui=ui.PreviewText(text))

    @classmethod
    def fingerprint_inputs(cls, pictures: str = picture_sets.DRAWN, max_pictures: int = 1024, **_: object) -> str:
        """Change when the pictures or captions do, so that ComfyUI fits again."""
        return picture_sets.state_of(pictures, max_pictures)


def _all(clip_vision: Any, chosen: picture_sets.PictureSet) -> dict[str, list[Tensor]]:
    """Return what the model says of the first pictures, one at a time, as they tell one model from another."""
    batches = [batch for picture in chosen.first(PROBE_COUNT) for batch in encode_pictures(clip_vision, [picture])]
    return {name: list(chain.from_iterable(batch[name] for batch in batches)) for name in batches[0]}


def _fit(
    direction: SafetyDirection, clip_vision: Any, clip: CLIP, chosen: picture_sets.PictureSet, encoder: str
) -> AlignedDirection:
    """Encode anchors, captions and pictures with a progress bar, and align."""
    rows, captions = choose_anchors(direction, min(ANCHORS, len(direction.anchors))), list(chosen.captions)
    bar = comfy.utils.ProgressBar(len(rows) + 2 * len(captions))
    encoding = study(clip)

    def said(prompts: Sequence[str]) -> Any:
        return encode_prompts(encoding, prompts, bar.update)

    anchors = collect(said([direction.anchors[row] for row in rows]), len(rows))
    source = captions_in_source(direction, anchors, collect(said(captions), len(captions)), rows)
    seen = collect(encode_pictures(clip_vision, chosen.pictures(), bar.update), len(captions), spans={})
    return align_pictures(direction, captions, source, seen, encoder)
