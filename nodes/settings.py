"""The steering settings both Apply nodes share: their inputs, and what is made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io

from ..safety_steer.choices import GATES, OPERATORS, PRESETS
from ..safety_steer.errors import DataError
from .inputs import AlignedDirectionSocket, checked_choice

if TYPE_CHECKING:
    from ..adapters.sampling.step_windows import Window
    from ..safety_steer.steering.steer_conditioning import SteerSettings

MAX_STRENGTH = 10.0  # by hand, and part of saved workflows
AS_SET = "as set"


def inputs() -> list[io.Input]:
    """Return the inputs; their names and order are part of every saved workflow."""
    return [
        io.Float.Input(
            "strength",
            default=1.0,
            min=0.0,
            max=MAX_STRENGTH,
            step=0.05,
            tooltip="How far to steer. 0 changes nothing, 1 is the usual strength, higher steers harder.",
        ),
        io.Combo.Input(
            "operator",
            options=list(OPERATORS),
            default="erase",
            tooltip="How to steer. 'erase' takes the unsafe words out of the prompt and turns the others away from "
            "them. 'clip' only moves the words that stand out as unsafe, which is gentler. 'project' moves every word "
            "that leans to the unsafe side. 'add' pushes the whole prompt toward safe.",
        ),
        io.Combo.Input(
            "gate",
            options=list(GATES),
            default="hard",
            tooltip="Which prompts to steer. 'hard' leaves harmless prompts exactly as they are. 'soft' fades in for "
            "borderline prompts. 'off' steers every prompt.",
        ),
        io.Float.Input(
            "start_percent",
            default=0.0,
            min=0.0,
            max=1.0,
            step=0.001,
            tooltip="Start steering after this share of the sampling. 0 is from the first step.",
        ),
        io.Float.Input(
            "end_percent",
            default=1.0,
            min=0.0,
            max=1.0,
            step=0.001,
            tooltip="Stop steering after this share of the sampling. 1 is until the last step.",
        ),
        io.Boolean.Input(
            "preserve_norm",
            default=False,
            tooltip="Keep the length of every steered word vector, and change only where it points. Try it when "
            "strong steering burns the image.",
        ),
    ]


def preset_input() -> io.Input:
    """Return the input that chooses settings by name; it came after the others, so it is the last of every node."""
    return io.Combo.Input(
        "preset",
        options=[AS_SET, *PRESETS],
        default=AS_SET,
        optional=True,
        tooltip="Settings by name, in place of strength, operator, gate and preserve_norm. 'as set' takes those. 'off' changes "
        "nothing. 'gentle' steers only clearly unsafe prompts, at half strength. 'standard' is what the node starts with. "
        "'strict' also steers prompts that are only suspicious: about 1 in 50 harmless ones changes too. 'firm' lies "
        "between 'standard' and 'strict': about 1 in 100.",
    )


def vision_input() -> io.Input:
    """Return the input for a direction that is fitted to pictures."""
    return AlignedDirectionSocket.Input(
        "vision_direction",
        optional=True,
        tooltip="A direction from Align Direction (Vision): then pictures that come in through CLIP vision are steered too, as "
        "in image to video, unCLIP and Stable Cascade.",
    )


def read(
    strength: float,
    operator: str,
    gate: str,
    start_percent: float,
    end_percent: float,
    preserve_norm: bool,
    preset: str = AS_SET,
) -> tuple[SteerSettings, Window]:
    """Check the values of `inputs` and `preset_input`; raises DataError naming the input to change."""
    from ..adapters.sampling.step_windows import Window
    from ..safety_steer.steering import presets
    from ..safety_steer.steering.steer_conditioning import SteerSettings

    choices = (("operator", operator, OPERATORS), ("gate", gate, GATES), ("preset", preset, (AS_SET, *PRESETS)))
    for name, value, allowed in choices:
        checked_choice(name, value, allowed, "the node")
    if start_percent > end_percent:
        raise DataError(
            f"Expected start_percent to come before end_percent, but got {start_percent} and {end_percent}. "
            "Change one of them on the node."
        )
    own = SteerSettings(strength=strength, operator=operator, gate=gate, preserve_norm=preserve_norm)
    return presets.PRESETS.get(preset, own), Window(start_percent, end_percent)


def sentence(settings: SteerSettings, window: Window) -> str:
    """Say the settings in one line."""
    limit = "" if settings.gate == "off" else f" (1 in {1 / settings.false_positive_rate:.0f} harmless prompts opens it)"
    return (
        f"{settings.operator} at strength {settings.strength:g}, gate {settings.gate}{limit}, "
        f"steps {window.start:.0%} to {window.end:.0%}"
    )
