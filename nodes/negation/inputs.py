"""What both Negate nodes share: the settings of how weights are chosen, and their text output."""

from __future__ import annotations

from comfy_api.latest import io

from ...safety_steer.choices import NEGATED_LAYERS
from ...safety_steer.negation import TAU as TAU
from ..inputs import checked_choice

ATTENTION, FEED_FORWARD, _ = NEGATED_LAYERS
WEIGHTED, PLAIN = "weighted", "plain"
SCORES = (WEIGHTED, PLAIN)


def settings(layers: str, weighted: bool) -> list[io.Input]:
    """Return the inputs; their names and order are part of every saved workflow."""
    return [
        io.Float.Input(
            "strength",
            default=1.0,
            min=0.0,
            max=1.0,
            step=0.05,
            tooltip="1 turns the sign of the chosen weights, 0.5 sets them to zero, 0 changes nothing.",
        ),
        io.Float.Input(
            "tau",
            default=TAU,
            min=0.001,
            max=0.5,
            step=0.001,
            tooltip="How much to negate: the weights that hold this share of each layer's score. More is safer and loses "
            "more of what the model knows. Not used with a patch file.",
        ),
        io.Combo.Input(
            "layers",
            options=list(NEGATED_LAYERS),
            default=layers,
            tooltip="Which layers: what attention gives, what the feed-forward parts give, or both. Not used with a patch "
            "file.",
        ),
        io.Combo.Input(
            "scores",
            options=list(SCORES),
            default=WEIGHTED if weighted else PLAIN,
            tooltip="'weighted' prefers large weights, and takes few. 'plain' takes more, smaller ones. Not used with a patch "
            "file.",
        ),
    ]


def text_output() -> io.Output:
    """Return the output that lists what was negated."""
    return io.String.Output(display_name="text", tooltip="What was negated: how many weights, and how many in each layer.")


def check(layers: str, scores: str, node: str) -> None:
    """Check dropdowns; raises DataError naming the input to change."""
    checked_choice("layers", layers, NEGATED_LAYERS, node)
    checked_choice("scores", scores, SCORES, node)
