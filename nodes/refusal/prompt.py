"""Refuse Unsafe Prompt: draw a harmless prompt in place of an unsafe one, stop the run, or let it pass steered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io, ui

from ...adapters.kept_text import kept_text
from ...safety_steer.choices import GATES, PRESETS
from ..inputs import CATEGORY, AlignedDirectionSocket, checked_choice, search_aliases

if TYPE_CHECKING:
    from comfy.sd import CLIP

    from ...adapters.sampling.entries import Conditioning
    from ...adapters.sampling.refusals import Judged
    from ...safety_steer.directions.aligned import AlignedDirection

NODE = "Refuse Unsafe Prompt"
REPLACE, STOP, STEER = WAYS = ("replace", "stop", "steer")
BECAME = {REPLACE: "replaced", STOP: "stops the run", STEER: None}
STANDARD = "standard"
OPEN_GATES = HARD, SOFT = GATES[1:]
SAFE_PROMPT = "a quiet landscape in soft morning light"
NOT_CONNECTED = object()  # ComfyUI gives None for what is connected and not computed yet


class RefuseUnsafePrompt(io.ComfyNode):
    """Judge a CONDITIONING, and give it back as it is, or another one in its place."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node to ComfyUI."""
        return io.Schema(
            node_id="RefuseUnsafePrompt",
            display_name=NODE,
            category=CATEGORY,
            **search_aliases("safety", "nsfw", "sfw", "block", "refuse", "censor", "filter", "moderation", "guard"),
            **kept_text(),
            description="Decide what becomes of an unsafe prompt: a harmless one is drawn in its place, the run stops, or it "
            "passes steered. Harmless prompts pass exactly as they are.",
            inputs=[
                io.Conditioning.Input("conditioning", tooltip="The encoded positive prompt."),
                AlignedDirectionSocket.Input(
                    "direction", tooltip="The direction, fitted with Align Direction to the CLIP that encoded this prompt."
                ),
                io.Combo.Input(
                    "when_unsafe",
                    options=list(WAYS),
                    default=REPLACE,
                    tooltip="What becomes of an unsafe prompt. 'replace' draws the safe prompt, or what is connected to "
                    "replacement, in its place. 'stop' stops the run and says why. 'steer' lets it pass, steered toward safe.",
                ),
                io.String.Input(
                    "safe_prompt",
                    default=SAFE_PROMPT,
                    multiline=True,
                    tooltip="For 'replace': the prompt to draw instead. It needs clip, and is not used when something is "
                    "connected to replacement.",
                ),
                io.Combo.Input(
                    "gate",
                    options=list(OPEN_GATES),
                    default=HARD,
                    tooltip="How to decide. 'hard' replaces an unsafe prompt whole. 'soft' fades the replacement in over "
                    "borderline prompts.",
                ),
                io.Combo.Input(
                    "preset",
                    options=list(PRESETS),
                    default=STANDARD,
                    tooltip="How strict to be. 'off' refuses nothing. 'gentle' refuses only clearly unsafe prompts: 1 in 500 "
                    "harmless ones is as unusual. 'standard': 1 in 200. 'strict': 1 in 50. 'firm': 1 in 100.",
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    lazy=True,
                    tooltip="The CLIP that encodes your prompts. It encodes the safe prompt, and finds out which of several "
                    "prompts is the unsafe one.",
                ),
                io.Conditioning.Input(
                    "replacement",
                    optional=True,
                    lazy=True,
                    tooltip="For 'replace': an encoded prompt to draw instead, in place of safe_prompt. It is only computed "
                    "when a prompt is unsafe.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(
                    display_name="conditioning",
                    tooltip="The prompt as it came, or what stands in its place. Connect it to the positive input of your "
                    "sampler.",
                ),
                io.Boolean.Output(
                    display_name="refused",
                    tooltip="Whether a prompt was found unsafe. It can drive a switch, to skip or swap a part of the workflow.",
                ),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
        )

    @classmethod
    def check_lazy_status(
        cls,
        conditioning: Conditioning,
        direction: AlignedDirection,
        when_unsafe: str = REPLACE,
        gate: str = HARD,
        preset: str = STANDARD,
        clip: Any = NOT_CONNECTED,
        replacement: Any = NOT_CONNECTED,
        **_: Any,
    ) -> list[str]:
        """Name what is needed and not computed yet: of an unsafe prompt the replacement, or the CLIP."""
        judged = _judged(conditioning, direction, when_unsafe, gate, preset, last=False)
        if not any(one.refused for one in judged):
            return []
        if when_unsafe == REPLACE and replacement is not NOT_CONNECTED:
            return ["replacement"] if replacement is None else []
        return ["clip"] if clip is None and when_unsafe != STEER else []

    @classmethod
    def execute(
        cls,
        conditioning: Conditioning,
        direction: AlignedDirection,
        when_unsafe: str = REPLACE,
        safe_prompt: str = SAFE_PROMPT,
        gate: str = HARD,
        preset: str = STANDARD,
        clip: CLIP | None = None,
        replacement: Conditioning | None = None,
    ) -> io.NodeOutput:
        """Return the very conditioning when nothing is refused; else each refused entry as the chosen way makes it."""
        from ...adapters import node_text, refuse_prompts
        from ...adapters.sampling.entries import pair_of
        from ...adapters.sampling.refusals import in_place, said
        from ...safety_steer.errors import RefusedError

        judged = _judged(conditioning, direction, when_unsafe, gate, preset, last=True)
        refused = any(one.refused for one in judged)
        text = said(judged, direction, BECAME[when_unsafe])
        node_text.show(cls.hidden.unique_id, text)
        if refused and when_unsafe == STOP:
            raise RefusedError(refuse_prompts.why(judged, direction, clip, cls.hidden.prompt or {}, cls.hidden.unique_id))
        if not refused:
            return io.NodeOutput(conditioning, False, ui=ui.PreviewText(text))
        made = [one.steered for one in judged]
        if when_unsafe == REPLACE:
            other = refuse_prompts.stand_in(safe_prompt, clip, replacement)
            steering = refuse_prompts.settings(gate, preset)
            made = [in_place(one, other, direction, steering) if one.refused else one.entry for one in judged]
        kept = [not one.refused or entry is one.entry for one, entry in zip(judged, made, strict=True)]
        pairs = [pair if same else pair_of(entry) for pair, entry, same in zip(conditioning, made, kept, strict=True)]
        return io.NodeOutput(pairs, True, ui=ui.PreviewText(text))


def _judged(
    conditioning: Conditioning, direction: AlignedDirection, when_unsafe: str, gate: str, preset: str, last: bool
) -> list[Judged]:
    """Check the inputs, and judge every entry; not the `last` time, the verdict waits for the node's execution."""
    from ...adapters import refuse_prompts
    from ...safety_steer.steering.steer_pictures import require_text

    require_text(direction, f"direction of {NODE}")
    checked_choice("when_unsafe", when_unsafe, WAYS, NODE)
    checked_choice("gate", gate, OPEN_GATES, NODE)
    checked_choice("preset", preset, PRESETS, NODE)
    # Both gates open at the same prompts, and a run cannot stop in part.
    return refuse_prompts.judged(conditioning, direction, HARD if when_unsafe == STOP else gate, preset, last)
