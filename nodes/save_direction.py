"""Save Safety Direction: keep a direction in models/safety_directions, where Load Safety Direction finds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io, ui

from ..adapters import folders
from .inputs import CATEGORY, SafetyDirectionSocket, search_aliases

if TYPE_CHECKING:
    from ..safety_steer.directions.source import SafetyDirection


class SaveSafetyDirection(io.ComfyNode):
    """Write a SafetyDirection to a file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node to ComfyUI."""
        return io.Schema(
            node_id="SaveSafetyDirection",
            display_name="Save Safety Direction",
            category=CATEGORY,
            **search_aliases("safety", "save vector"),
            description="Keep a direction in models/safety_directions. The file holds no unsafe text. Reload the page to see "
            "it in Load Safety Direction.",
            inputs=[
                SafetyDirectionSocket.Input("direction", tooltip="The direction from Extract Safety Direction."),
                io.String.Input(
                    "filename",
                    default="my-direction",
                    tooltip="The name of the file. A file of that name is never overwritten: a number is added.",
                ),
            ],
            outputs=[],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, direction: SafetyDirection, filename: str) -> io.NodeOutput:
        """Write the file and show its name."""
        from ..adapters import node_text, save_file

        text = save_file.save(direction, folders.DIRECTIONS, filename)
        node_text.show(cls.hidden.unique_id, text)
        return io.NodeOutput(ui=ui.PreviewText(text))
