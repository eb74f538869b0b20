"""Category Mixer: choose how strongly each kind of unsafe content is steered."""

from __future__ import annotations

from dataclasses import replace

from comfy_api.latest import io

from ..safety_steer.aligned import AlignedDirection
from ..safety_steer.steer import active_strengths
from .aliases import search_aliases
from .sockets import CATEGORY, AlignedDirectionSocket

MAX_STRENGTH = 10.0
CATEGORIES = {
    "global": (1.0, "everything unsafe together. A good start on its own"),
    "hate": (0.0, "hateful content about people or groups"),
    "sexual": (0.0, "sexual content and nudity"),
    "violence": (0.0, "violence, blood and injury"),
    "humiliation": (0.0, "content that humiliates or degrades people"),
    "illegal_activity": (0.0, "illegal acts, drugs and weapons"),
    "disturbing": (0.0, "shocking and disturbing content"),
}


class SafetyCategoryMixer(io.ComfyNode):
    """Set the strength of each category of an aligned direction."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node to ComfyUI."""
        return io.Schema(
            node_id="SafetyCategoryMixer",
            display_name="Category Mixer",
            category=CATEGORY,
            **search_aliases("safety", "nsfw", "sfw", "nudity", "violence", "hate", "safety categories"),
            description="Set how strongly each kind of unsafe content is steered away from. Without this node only "
            "'global' acts, at strength 1.",
            inputs=[
                AlignedDirectionSocket.Input("direction", tooltip="The fitted direction from Align Direction."),
                *(
                    io.Float.Input(
                        name,
                        default=default,
                        min=0.0,
                        max=MAX_STRENGTH,
                        step=0.05,
                        tooltip=f"How strongly to steer away from {meaning}. 0 is off, 1 is the usual strength.",
                    )
                    for name, (default, meaning) in CATEGORIES.items()
                ),
            ],
            outputs=[
                AlignedDirectionSocket.Output(
                    display_name="direction",
                    tooltip="The same direction with these strengths. Connect it to Apply Safety Steer.",
                ),
            ],
        )

    @classmethod
    def execute(cls, direction: AlignedDirection, **strengths: float) -> io.NodeOutput:
        """Return the direction with the strengths that are not 0; an unknown category is an error."""
        wanted = {name: value for name, value in strengths.items() if value != 0}
        return io.NodeOutput(replace(direction, strengths=active_strengths(wanted, direction.categories)))
