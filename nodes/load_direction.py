"""Load Safety Direction: read a direction file from the model folders."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..adapters import folders
from ..adapters.kept_text import kept_text
from ..safety_steer.storage.bundled import SOURCE
from .inputs import CATEGORY, SafetyDirectionSocket, search_aliases

DEFAULT = SOURCE


class LoadSafetyDirection(io.ComfyNode):
    """Read a SafetyDirection from a listed file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node to ComfyUI."""
        return io.Schema(
            node_id="LoadSafetyDirection",
            display_name="Load Safety Direction",
            category=CATEGORY,
            **search_aliases("safety", "nsfw", "sfw", "safe", "concept direction", "load vector"),
            **kept_text(),
            description="Load a safety direction: what a language model has learned about safe and unsafe prompts. "
            "It holds no unsafe text.",
            inputs=[
                io.Combo.Input(
                    "direction_name",
                    options=folders.direction_names(),
                    default=DEFAULT,
                    tooltip="The direction file to load. Your own files go in models/safety_directions.",
                ),
            ],
            outputs=[
                SafetyDirectionSocket.Output(
                    display_name="direction",
                    tooltip="The direction, not yet fitted to your model. Connect it to Align Direction.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, direction_name: str) -> io.NodeOutput:
        """Load the file, and say what is in it."""
        from ..adapters import direction_text, node_text
        from ..safety_steer.directions.source import SafetyDirection

        direction = SafetyDirection.load(folders.direction_path(direction_name))
        text = direction_text.described(direction_name, direction)
        node_text.show(cls.hidden.unique_id, text)
        return io.NodeOutput(direction, ui=ui.PreviewText(text))

    @classmethod
    def fingerprint_inputs(cls, direction_name: str) -> str:
        """Change when the file changes, so that ComfyUI loads it again."""
        return (
            folders.fingerprint(folders.direction_path(direction_name)) if direction_name in folders.direction_names() else ""
        )
