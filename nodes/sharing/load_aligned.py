"""Load Aligned Direction: read a direction that somebody fitted to the text encoder of this workflow, and check that it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io, ui

from ...adapters import folders
from ...adapters.kept_text import kept_text
from ..inputs import CATEGORY, AlignedDirectionSocket, search_aliases

if TYPE_CHECKING:
    from comfy.sd import CLIP


class LoadAlignedDirection(io.ComfyNode):
    """Read an AlignedDirection from a listed file, for the CLIP it was fitted to and for no other."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node to ComfyUI."""
        return io.Schema(
            node_id="LoadAlignedDirection",
            display_name="Load Aligned Direction",
            category=CATEGORY,
            **search_aliases("safety", "nsfw", "sfw", "load fit", "shared alignment"),
            **kept_text(),
            description="Load a direction that is fitted to your text encoder already, by you or by somebody else. It takes "
            "the place of Load Safety Direction and Align Direction. It asks your CLIP for a few harmless prompts, and stops "
            "if it is another text encoder.",
            inputs=[
                io.Combo.Input(
                    "aligned_name",
                    options=folders.aligned_names(),
                    tooltip="A file in models/safety_aligned, made with Save Aligned Direction.",
                ),
                io.Clip.Input(
                    "clip",
                    tooltip="The CLIP that encodes your prompts, after any LoRA or clip skip. It has to be the one that the "
                    "file was made for.",
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
    def execute(cls, aligned_name: str, clip: CLIP) -> io.NodeOutput:
        """Load the file, check it against the CLIP, and say whose it is."""
        from ...adapters import node_text
        from ...adapters.clip.load_aligned import load_aligned

        aligned, text = load_aligned(aligned_name, clip)
        node_text.show(cls.hidden.unique_id, text)
        return io.NodeOutput(aligned, ui=ui.PreviewText(text))

    @classmethod
    def fingerprint_inputs(cls, aligned_name: str, **_: object) -> str:
        """Change when the file or a trusted key does, so that ComfyUI loads it again."""
        if aligned_name not in folders.aligned_names():
            return ""
        return folders.fingerprint(folders.aligned_path(aligned_name)) + folders.state_of_keys()
