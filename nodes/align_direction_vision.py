"""Align Direction (Vision): fit a safety direction to the CLIP vision of a workflow, with harmless captioned pictures only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io, ui

from ..adapters import folders
from ..adapters.kept_text import kept_text
from ..safety_steer.choices import VISION_WAYS
from .inputs import CATEGORY, AlignedDirectionSocket, SafetyDirectionSocket, checked_choice, search_aliases

if TYPE_CHECKING:
    from comfy.sd import CLIP

    from ..safety_steer.directions.source import SafetyDirection


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
                    options=[folders.DRAWN, *folders.picture_folders()],
                    default=folders.DRAWN,
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
                io.Combo.Input(
                    "way",
                    options=list(VISION_WAYS),
                    default=VISION_WAYS[0],
                    optional=True,
                    tooltip="How the direction comes to pictures. 'pictures': learned from your captioned pictures. 'through "
                    "text': fitted to the CLIP as for prompts, and used for pictures where the CLIP and the CLIP vision model "
                    "say the same of a picture and its caption, which is tried out on your pictures, 200 or more; an error "
                    "says so where they do not. 'auto': through text where that is so, and as 'pictures' for all else.",
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
        cls,
        direction: SafetyDirection,
        clip_vision: Any,
        clip: CLIP,
        pictures: str,
        max_pictures: int,
        way: str = VISION_WAYS[0],
    ) -> io.NodeOutput:
        """Return a kept fit when the model still sees like it, or make and keep a new one."""
        from ..adapters import memory, node_text
        from ..adapters.clip_vision.fit_direction import fit_direction

        checked_choice("way", way, VISION_WAYS, "Align Direction (Vision)")
        remedy = "Lower max_pictures, or free memory: close what else uses it, and queue again."
        with memory.told("Align Direction (Vision)", remedy):
            aligned, text = fit_direction(direction, clip_vision, clip, pictures, max_pictures, way)
        node_text.show(cls.hidden.unique_id, text)
        return io.NodeOutput(aligned, ui=ui.PreviewText(text))

    @classmethod
    def fingerprint_inputs(cls, pictures: str = folders.DRAWN, max_pictures: int = 1024, **_: object) -> str:
        """Change when the pictures or captions do, so that ComfyUI fits again."""
        from ..adapters.clip_vision import picture_sets

        return picture_sets.state_of(pictures, max_pictures)
