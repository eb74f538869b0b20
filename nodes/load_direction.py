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
        from ..adapters import direction_text, node_text, trusted_keys
        from ..safety_steer.directions.source import SafetyDirection

        path, trusted = folders.direction_path(direction_name), trusted_keys.trusted_keys()
        direction, verdict = SafetyDirection.load_signed(path, trusted)
        trusted_keys.warn(direction_name, verdict)
        text = f"{direction_text.described(direction_name, direction)}\n{direction_text.origin(direction, verdict)}"
        node_text.show(cls.hidden.unique_id, text)
        return io.NodeOutput(direction, ui=ui.PreviewText(text))

    @classmethod
    def fingerprint_inputs(cls, direction_name: str) -> str:
        """Change when the file or a trusted key does, so that ComfyUI loads it again."""
        if direction_name not in folders.direction_names():
            return ""
        return folders.fingerprint(folders.direction_path(direction_name)) + folders.state_of_keys()
