"""Category Mixer: choose how strongly each kind of unsafe content is steered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from comfy_api.latest import io

from ..safety_steer.errors import DataError
from ..safety_steer.storage.bundled import NEWEST
from .inputs import CATEGORY, AlignedDirectionSocket, search_aliases

if TYPE_CHECKING:
    from ..safety_steer.directions.aligned import AlignedDirection

MAX_STRENGTH = 10.0  # by hand, and part of saved workflows
CATEGORIES = {
    "global": (1.0, "everything unsafe together. A good start on its own"),
    "hate": (0.0, "hateful content about people or groups"),
    "sexual": (0.0, "sexual content and nudity"),
    "violence": (0.0, "violence, blood and injury"),
    "humiliation": (0.0, "content that humiliates or degrades people"),
    "illegal_activity": (0.0, "illegal acts, drugs and weapons"),
    "disturbing": (0.0, "shocking and disturbing content"),
    "self_harm": (0.0, "suicide, self-injury and eating disorders"),
    "privacy": (0.0, "private data and secret pictures of people"),
    "copyright": (0.0, "copies of protected characters, brands and works"),
}
LATER = ("self_harm", "privacy", "copyright")
"""Sliders that came later, and are optional for that reason; older directions have all categories but these."""


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
                        optional=name in LATER,
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
        from ..safety_steer.steering.request import active_strengths

        wanted = {name: value for name, value in strengths.items() if value != 0}
        if set(direction.categories) == CATEGORIES.keys() - set(LATER):
            _check_older(wanted, direction.categories)
        return io.NodeOutput(replace(direction, strengths=active_strengths(wanted, direction.categories)))


def _check_older(wanted: Mapping[str, float], categories: Sequence[str]) -> None:
    """Raise DataError for a category that came later than an older direction."""
    for name in LATER:
        if name in wanted:
            raise DataError(
                f"This is an older direction, made before there was a category '{name}'. It has: {', '.join(categories)}. "
                f"Choose {NEWEST} in Load Safety Direction, or set '{name}' to 0."
            )
