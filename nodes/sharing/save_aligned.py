"""Save Aligned Direction: keep a direction that is fitted to a text encoder as a file to share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io, ui

from ...adapters import folders
from ..inputs import CATEGORY, AlignedDirectionSocket, search_aliases

if TYPE_CHECKING:
    from ...safety_steer.directions.aligned import AlignedDirection


class SaveAlignedDirection(io.ComfyNode):
    """Write an AlignedDirection to a file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node to ComfyUI."""
        return io.Schema(
            node_id="SaveAlignedDirection",
            display_name="Save Aligned Direction",
            category=CATEGORY,
            **search_aliases("safety", "save fit", "share alignment", "export"),
            description="Keep a direction that is fitted to your text encoder in models/safety_aligned, to share it: who has "
            "the same text encoder need not fit it again. Reload the page to see it in Load Aligned Direction.",
            inputs=[
                AlignedDirectionSocket.Input("direction", tooltip="The direction from Align Direction or Category Mixer."),
                io.String.Input(
                    "filename",
                    default="my-aligned-direction",
                    tooltip="The name of the file. A file of that name is never overwritten: a number is added.",
                ),
            ],
            outputs=[],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, direction: AlignedDirection, filename: str) -> io.NodeOutput:
        """Write the file and show its name."""
        from ...adapters import node_text, save_file
        from ...adapters.clip.load_aligned import refuse_vision

        refuse_vision(direction)
        text = save_file.save(direction, folders.ALIGNED, filename)
        node_text.show(cls.hidden.unique_id, text)
        return io.NodeOutput(ui=ui.PreviewText(text))
