"""The cross-attention site: steer at every step instead of once, with a strength that comes and goes smoothly.

Steering is still decided once per run, on the conditioning. What a step does is to go from the prompt as it was to the prompt
as steered, by as much as the step's sigma says: one pass over the context, and nothing that waits for a GPU. The steered
text travels beside the text itself among the model's conditions, so that ComfyUI batches, repeats and slices both alike, and
rows of a batch without it (a negative prompt, a helper's prompt) carry their own text there and stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from comfy.conds import CONDRegular
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.patcher_extension import WrapperExecutor, WrappersMP
from torch import Tensor

from ..safety_steer.aligned import AlignedDirection
from ..safety_steer.errors import DataError, MismatchError
from .entries import EDGE, Entry
from .settings import Window

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

Knots = tuple[float, float, float, float]

NEVER: Knots = (-1.0, -1.0, -1.0, -1.0)
KEY = "safety_steer_cross_attention"
PREFIX = "safety_steer_target_"
STATE = "safety_steer_state"
CONTEXT = "c_crossattn"
# What a model's conditions call the text tensors of an entry.
NAMES = {
    "cross_attn": CONTEXT,
    "conditioning_llama3": "encoder_hidden_states_llama3",
    "conditioning_mt5xl": "encoder_hidden_states_t5",
    "conditioning_byt5small": "txt_byt5",
}
ADVICE = "Set site to 'conditioning' on Apply Safety Steer, which works with every model."


@dataclass(frozen=True)
class Curve:
    """How strongly to steer over the sampling: fully inside `window`, fading over a share `fade` of it at its inner edges."""

    window: Window
    fade: float = 0.0

    def knots(self, percent_to_sigma: Callable[[float], float]) -> Knots:
        """Return the sigmas where steering begins, is full, begins to fade and is gone. Sigma falls, and so do they.

        Steps exactly on an edge are inside, as at the conditioning site; a window of no length holds no step.
        """
        if self.window.start == self.window.end:
            return NEVER
        start = self.window.start - EDGE * (self.window.start > 0)
        end = self.window.end + EDGE * (self.window.end < 1)
        fade = min(self.fade, (end - start) / 2)
        shares = start, start + fade * (start > 0), end - fade * (end < 1), end
        begin, full, fading, gone = (float(percent_to_sigma(share)) for share in shares)
        return begin, full, fading, gone if end < 1 else -1.0


def share_at(sigma: Tensor, knots: Knots) -> Tensor:
    """Return how much of the steering a sigma gets, 0 to 1: a smooth step up and one down, without waiting for a GPU."""
    begin, full, fading, gone = knots
    rise = ((begin - sigma) / (begin - full)).clamp(0, 1) if begin > full else (sigma <= begin).to(sigma.dtype)
    fall = ((sigma - gone) / (fading - gone)).clamp(0, 1) if fading > gone >= 0 else (sigma > gone).to(sigma.dtype)
    share = torch.minimum(rise, fall)
    return share * share * (3 - 2 * share)


def read_blocks(text: str) -> tuple[tuple[str, int], ...] | None:
    """Read "middle, output 3-5" as U-Net blocks (part, number), number -1 for all of a part; None when nothing is said."""
    found: list[tuple[str, int]] = []
    for item in filter(None, (part.strip().lower() for part in text.split(","))):
        match = re.fullmatch(r"(input|middle|output)(?:\s+(\d{1,3})(?:\s*-\s*(\d{1,3}))?)?", item)
        if match is None:
            raise DataError(
                f"Expected blocks like 'middle, output 3-5', but got '{item[:40]}'. Change blocks on Apply Safety Steer, or "
                "leave it empty for all."
            )
        part, first, last = match.groups()
        numbers = range(int(first), int(last or first) + 1) if first else [-1]
        found += [(part, number) for number in numbers]
    return tuple(found) or None


def attach(patched: ModelPatcher, curve: Curve, blocks: Sequence[tuple[str, int]] | None) -> None:
    """Add to a model clone what carries targets put on by `mark` into every step; `blocks` limits it to parts of a U-Net."""
    patched.add_wrapper_with_key(WrappersMP.SAMPLER_SAMPLE, KEY, _prepare(curve))
    patched.add_wrapper_with_key(WrappersMP.APPLY_MODEL, KEY, _steer_step(inside=blocks is not None))
    if blocks is None:
        return
    if not isinstance(patched.model.diffusion_model, UNetModel):
        raise MismatchError(
            f"Blocks can be chosen on U-Nets only (SD 1.5, SD 2, SDXL), and this model is {type(patched.model).__name__}. "
            "Leave blocks empty on Apply Safety Steer."
        )
    patched.set_model_attn2_patch(_InBlocks(tuple(blocks)))


def mark(entry: Entry, steered: Entry) -> Entry:
    """Return an entry that stays as it is and carries its steered text along as model conditions of our own."""
    targets = {
        PREFIX + name: CONDRegular(steered[key]) for key, name in NAMES.items() if steered.get(key) is not entry.get(key)
    }
    return {**entry, "model_conds": {**entry.get("model_conds", {}), **targets}}


def within_reach(direction: AlignedDirection) -> AlignedDirection:
    """Return a direction without the spaces this site cannot steer: pooled states are part of no cross-attention."""
    spaces = {name: space for name, space in direction.spaces.items() if direction.places[name].key in NAMES}
    if not spaces:
        raise MismatchError(f"This direction is aligned to {', '.join(direction.spaces)} only. {ADVICE}")
    return replace(direction, spaces=spaces)


def _prepare(curve: Curve) -> Callable[..., Any]:
    """Return a SAMPLER_SAMPLE wrapper: give every entry of a run a target, its own text where there is none."""

    def wrapper(
        executor: WrapperExecutor, guider: Any, sigmas: Tensor, extra_args: dict[str, Any], *args: Any, **more: Any
    ) -> Any:
        marked = {name for name in NAMES.values() if any(PREFIX + name in _conds(entry) for entry in _entries(guider.conds))}
        if not marked:
            return executor(guider, sigmas, extra_args, *args, **more)
        guider.conds = {role: [_with_targets(entry, marked) for entry in entries] for role, entries in guider.conds.items()}
        options = dict(extra_args["model_options"])
        knots = curve.knots(guider.inner_model.model_sampling.percent_to_sigma)
        options["transformer_options"] = {**options.get("transformer_options", {}), STATE: knots}
        return executor(guider, sigmas, {**extra_args, "model_options": options}, *args, **more)

    return wrapper


def _entries(conds: Mapping[str, Sequence[Entry]]) -> list[Entry]:
    return [entry for entries in conds.values() for entry in entries]


def _conds(entry: Entry) -> dict[str, Any]:
    conds: dict[str, Any] = entry.get("model_conds", {})
    return conds


def _with_targets(entry: Entry, marked: set[str]) -> Entry:
    """Give an entry a target of the kind of condition its text is, so that the two are batched alike."""
    conds = dict(_conds(entry))
    keys = {name: key for key, name in NAMES.items()}
    for name in marked & set(conds):
        own, target = conds[name], conds.get(PREFIX + name)
        if target is not None:
            _refuse_another_space(own.cond, entry[keys[name]], name)
        conds[PREFIX + name] = type(own)(own.cond if target is None else target.cond.to(own.cond))
    missing = [name for name in marked if PREFIX + name in conds and name not in conds]
    if missing:
        raise MismatchError(f"This model does not take its text as {missing[0]}, so it cannot be steered there. {ADVICE}")
    return {**entry, "model_conds": conds}


def _refuse_another_space(used: Tensor, text: Tensor, name: str) -> None:
    """Raise MismatchError when a model's layers see another text than the conditioning the direction was aligned to."""
    if used.shape != text.shape or not torch.equal(used, text.to(used)):
        raise MismatchError(
            f"This model makes a text of its own out of the conditioning before its layers see it ({name}: "
            f"{tuple(text.shape)} became {tuple(used.shape)}), and the direction is aligned to the conditioning. {ADVICE}"
        )


def _steer_step(inside: bool) -> Callable[..., Any]:
    """Return an APPLY_MODEL wrapper that moves every text toward its target by the step's share, or leaves it to blocks."""

    def wrapper(
        executor: WrapperExecutor,
        x: Tensor,
        t: Tensor,
        c_concat: Any = None,
        c_crossattn: Any = None,
        control: Any = None,
        transformer_options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        options = dict(transformer_options or {})
        texts = {CONTEXT: c_crossattn, **kwargs}
        targets = {name: texts.pop(PREFIX + name) for name in NAMES.values() if PREFIX + name in texts}
        if targets:
            share = share_at(t[0], options[STATE])
            steered = {name: torch.lerp(texts[name], target, share.to(target)) for name, target in targets.items()}
            if inside:
                options[STATE] = steered.pop(CONTEXT, None)
            texts |= steered
        context = texts.pop(CONTEXT)
        return executor(x, t, c_concat, context, control, options, **texts)

    return wrapper


class _InBlocks:
    """An attn2_patch that hands steered text to chosen blocks of a U-Net."""

    def __init__(self, blocks: tuple[tuple[str, int], ...]) -> None:
        self.blocks = blocks

    def __call__(self, n: Tensor, context: Tensor, value: Tensor, options: Mapping[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        part, number = options["block"][:2]
        steered = options.get(STATE)
        if not isinstance(steered, Tensor) or ((part, -1) not in self.blocks and (part, number) not in self.blocks):
            return n, context, value
        if steered.shape != context.shape:
            raise MismatchError(
                "Another node changes the text inside this model's blocks, which cannot be steered as well. Leave blocks "
                "empty on Apply Safety Steer, or remove that node."
            )
        steered = steered.to(context)
        return n, steered, steered if value is context else value
