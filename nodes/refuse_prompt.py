"""Refuse Unsafe Prompt: draw a harmless prompt in place of an unsafe one, stop the run, or let it pass steered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io, ui

from ..adapters import node_text, queued_prompt
from ..adapters.clip.prompt_words import find_words
from ..adapters.kept_text import kept_text
from ..adapters.run_log import records_of
from ..adapters.sampling.refusals import Judged, in_place, judge, said
from ..adapters.sampling.step_windows import Entry
from ..safety_steer.directions.aligned import AlignedDirection
from ..safety_steer.errors import DataError, RefusedError
from ..safety_steer.reports.summary import verdict
from ..safety_steer.steering.presets import PRESETS, STANDARD
from ..safety_steer.steering.steer_conditioning import SteerSettings
from .apply_conditioning import Conditioning, entry_of, pair_of
from .inputs import CATEGORY, AlignedDirectionSocket, checked_choice, search_aliases

if TYPE_CHECKING:
    from comfy.sd import CLIP

NODE = "Refuse Unsafe Prompt"
REPLACE, STOP, STEER = WAYS = ("replace", "stop", "steer")
BECAME = {REPLACE: "replaced", STOP: "stops the run", STEER: None}
GATES = ("hard", "soft")
SAFE_PROMPT = "a quiet landscape in soft morning light"
NOT_CONNECTED = object()  # ComfyUI gives None for what is connected and not computed yet
MAX_LETTERS = 120


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
                    options=list(GATES),
                    default=GATES[0],
                    tooltip="How to decide. 'hard' replaces an unsafe prompt whole. 'soft' fades the replacement in over "
                    "borderline prompts.",
                ),
                io.Combo.Input(
                    "preset",
                    options=list(PRESETS),
                    default=STANDARD,
                    tooltip="How strict to be. 'off' refuses nothing. 'gentle' refuses only clearly unsafe prompts: 1 in 500 "
                    "harmless ones is as unusual. 'standard': 1 in 200. 'strict': 1 in 50.",
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
        gate: str = GATES[0],
        preset: str = STANDARD,
        clip: Any = NOT_CONNECTED,
        replacement: Any = NOT_CONNECTED,
        **_: Any,
    ) -> list[str]:
        """Name what is needed and not computed yet: of an unsafe prompt the replacement, or the CLIP."""
        if not any(one.refused for one in _judged(conditioning, direction, when_unsafe, gate, preset)):
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
        gate: str = GATES[0],
        preset: str = STANDARD,
        clip: CLIP | None = None,
        replacement: Conditioning | None = None,
    ) -> io.NodeOutput:
        """Return the very conditioning when nothing is refused; else each refused entry as the chosen way makes it."""
        judged = _judged(conditioning, direction, when_unsafe, gate, preset)
        refused = any(one.refused for one in judged)
        text = said(judged, direction, BECAME[when_unsafe])
        node_text.show(cls.hidden.unique_id, text)
        if refused and when_unsafe == STOP:
            raise RefusedError(_why(judged, direction, clip, cls.hidden.prompt or {}, cls.hidden.unique_id))
        if not refused:
            return io.NodeOutput(conditioning, False, ui=ui.PreviewText(text))
        made = [one.steered for one in judged]
        if when_unsafe == REPLACE:
            other, steering = _other(safe_prompt, clip, replacement), _settings(gate, preset)
            made = [in_place(one, other, direction, steering) if one.refused else one.entry for one in judged]
        kept = [not one.refused or entry is one.entry for one, entry in zip(judged, made, strict=True)]
        pairs = [pair if same else pair_of(entry) for pair, entry, same in zip(conditioning, made, kept, strict=True)]
        return io.NodeOutput(pairs, True, ui=ui.PreviewText(text))


def _settings(gate: str, preset: str) -> SteerSettings:
    return replace(PRESETS[preset], gate=gate)


def _judged(conditioning: Conditioning, direction: AlignedDirection, when_unsafe: str, gate: str, preset: str) -> list[Judged]:
    """Check the choices, and judge every entry."""
    for name, value, choices in (("when_unsafe", when_unsafe, WAYS), ("gate", gate, GATES), ("preset", preset, PRESETS)):
        checked_choice(name, value, choices, NODE)
    # Both gates open at the same prompts, and a run cannot stop in part.
    how = GATES[0] if when_unsafe == STOP else gate
    return judge([entry_of(*pair) for pair in conditioning], direction, _settings(how, preset))


def _other(safe_prompt: str, clip: CLIP | None, replacement: Conditioning | None) -> Entry:
    """Return the one entry that stands in for unsafe ones."""
    if replacement is None:
        if clip is None:
            raise DataError(
                "This prompt is unsafe, and there is nothing to put in its place. Connect clip on Refuse Unsafe Prompt, which "
                "encodes safe_prompt, or an encoded prompt to replacement."
            )
        replacement = clip.encode_from_tokens_scheduled(clip.tokenize(safe_prompt))
    if len(replacement) != 1:
        raise DataError(
            f"Expected one prompt to put in the place of an unsafe one, but got {len(replacement)}. Connect a single CLIP Text "
            "Encode to replacement on Refuse Unsafe Prompt, of a CLIP without a schedule."
        )
    return entry_of(*replacement[0])


def _why(
    judged: Sequence[Judged], direction: AlignedDirection, clip: CLIP | None, queued: queued_prompt.Graph, node: str | None
) -> str:
    """Say which prompt stopped the run, why, and what to do."""
    first = next(one for one in judged if one.refused)
    assert first.refusal is not None
    assert first.outcome is not None
    texts = queued_prompt.typed_prompts(queued, queued_prompt.before(queued, node, ("conditioning",)))
    if len(texts) > 1 and clip is not None:
        records = records_of([first.outcome])
        texts = next(([text] for text in texts if any(find_words(clip, [text], records, direction))), texts)
    named = " or ".join(f"'{text if len(text) <= MAX_LETTERS else text[:MAX_LETTERS] + '...'}'" for text in texts)
    return (
        f"Stopped before sampling: the prompt {named + ' ' if named else ''}is "
        f"{verdict(first.refusal.gate, first.refusal.worst, direction)}. Change the prompt, or choose 'replace' or 'steer' in "
        f"when_unsafe on {NODE}."
    )
