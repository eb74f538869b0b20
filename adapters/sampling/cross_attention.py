"""The cross-attention site: steer at every step instead of once, with a strength that comes and goes smoothly.

Steering is still decided once per run, on the conditioning. What a step does is to go from the prompt as it was to the prompt
as steered, by as much as the step's sigma says: one pass over the context, and nothing that waits for a GPU. The steered
text travels beside the text itself among the model's conditions (`steered_variants`), so that ComfyUI batches, repeats and
slices both alike, and rows of a batch without it (a negative prompt, a helper's prompt) carry their own text there and stay
as they are.

Several nodes in a row are layers. Between what a text is without a layer and with it, each goes by a share of its own, so that
with all of them at full share the text is what the last made of what the others made of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.patcher_extension import WrapperExecutor, WrappersMP
from torch import Tensor

from ...safety_steer.directions.aligned import AlignedDirection
from ...safety_steer.errors import MismatchError
from ...safety_steer.steering.steer_conditioning import Outcome, SteerSettings
from . import steered_variants
from .entries import STEERED, Steer, steer_text
from .fade_curve import Curve, Knots, share_at
from .steered_variants import CONTEXT, NAMES
from .step_windows import Entry
from .unet_blocks import Blocks, holds

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

KEY = "safety_steer_cross_attention"
STATE = "safety_steer_state"
LAYERS = 4  # by hand: 16 variants of a text, one bit a node, travel with it
ADVICE = "Set site to 'conditioning' on Apply Safety Steer, which works with every model."


@dataclass(frozen=True)
class Layer:
    """What one node does: how strongly at which sigma, and in which blocks of a U-Net (None for all)."""

    curve: Curve
    blocks: Blocks | None


@dataclass(frozen=True)
class Run:
    """The layers of a sampling run, with the sigmas of their curves."""

    layers: tuple[Layer, ...]
    knots: tuple[Knots, ...]


@dataclass(frozen=True, eq=False)
class Step:
    """What blocks need at a step: the context by variant number, each layer's share, and contexts made so far by layers."""

    layers: tuple[Layer, ...]
    context: Mapping[int, Tensor]
    shares: Sequence[Tensor]
    made: dict[tuple[bool, ...], Tensor] = field(default_factory=dict)


def attach(patched: ModelPatcher, layer: Layer) -> int:
    """Add a layer to a model clone, and what carries attached text into every step; return the layer's bit."""
    options = patched.model_options.setdefault("transformer_options", {})
    before: tuple[Layer, ...] = options.get(KEY, ())
    if len(before) == LAYERS:
        raise MismatchError(f"At most {LAYERS} nodes in a row can steer the cross-attention. {ADVICE}")
    if layer.blocks is not None and not isinstance(patched.model.diffusion_model, UNetModel):
        raise MismatchError(
            f"Blocks can be chosen on U-Nets only (SD 1.5, SD 2, SDXL), and this model is {type(patched.model).__name__}. "
            "Leave blocks empty on Apply Safety Steer."
        )
    if not before:
        patched.add_wrapper_with_key(WrappersMP.SAMPLER_SAMPLE, KEY, _prepare)
    if layer.blocks is not None and all(other.blocks is None for other in before):
        patched.set_model_attn2_patch(_steer_in_block)
    options[KEY] = (*before, layer)
    return 1 << len(before)


def attach_steered_text(
    entry: Entry, bit: int, direction: AlignedDirection, settings: SteerSettings, steer: Steer = steer_text
) -> tuple[Entry, Outcome]:
    """Return an entry that stays as it is and carries its text along as `steer` makes it, and what was done to it."""
    attached = [number for number in steered_variants.numbers(entry.get("model_conds", {})) if number]
    result = entry
    for number in (0, *attached):
        before = steered_variants.text_of(entry, number)
        after, outcome = steer({**before, STEERED: True} if number else before, direction, settings)
        result = steered_variants.put(result, number | bit, after, before)
    return result, outcome


def within_reach(direction: AlignedDirection) -> AlignedDirection:
    """Return a direction without the spaces this site cannot steer: pooled states are part of no cross-attention."""
    spaces = {name: space for name, space in direction.spaces.items() if direction.places[name].key in NAMES}
    if not spaces:
        raise MismatchError(f"This direction is aligned to {', '.join(direction.spaces)} only. {ADVICE}")
    return replace(direction, spaces=spaces)


def _prepare(
    executor: WrapperExecutor, guider: Any, sigmas: Tensor, extra_args: dict[str, Any], *args: Any, **more: Any
) -> Any:
    """Wrap SAMPLER_SAMPLE: give every entry of a run the same variants, its own text where it has none, and steer each step.

    The step's wrapper comes before everybody else's: what others do to a text is done to the steered text.
    """
    found = [(name, entry.get("model_conds", {})) for name in NAMES.values() for entry in _entries(guider.conds)]
    attached = {name: set[int]() for name in NAMES.values()}
    for name, conds in found:
        attached[name].update(steered_variants.numbers(conds, name))
    attached = {name: numbers for name, numbers in attached.items() if any(numbers)}
    if not attached:
        return executor(guider, sigmas, extra_args, *args, **more)
    guider.conds = {role: [_with_variants(entry, attached) for entry in entries] for role, entries in guider.conds.items()}
    options = dict(extra_args["model_options"])
    inner = dict(options["transformer_options"])
    to_sigma, wrappers = guider.inner_model.model_sampling.percent_to_sigma, inner.get("wrappers", {})
    inner[STATE] = Run(inner[KEY], tuple(layer.curve.knots(to_sigma) for layer in inner[KEY]))
    inner["wrappers"] = {
        **wrappers,
        WrappersMP.APPLY_MODEL: {KEY: [_steer_step], **wrappers.get(WrappersMP.APPLY_MODEL, {})},
    }
    options["transformer_options"] = inner
    return executor(guider, sigmas, {**extra_args, "model_options": options}, *args, **more)


def _entries(conds: Mapping[str, Sequence[Entry]]) -> list[Entry]:
    return [entry for entries in conds.values() for entry in entries]


def _with_variants(entry: Entry, attached: Mapping[str, set[int]]) -> Entry:
    """Give an entry all variants of the run, of the kind of condition its text is, so that they are batched alike."""
    conds = dict(entry.get("model_conds", {}))
    for name, numbers in attached.items():
        own = conds.get(name)
        if own is None:
            if steered_variants.numbers(conds, name):
                raise MismatchError(f"This model does not take its text as {name}, so it cannot be steered there. {ADVICE}")
            continue
        text = conds.pop(steered_variants.condition(0, name), None)
        if text is not None:
            _refuse_another_space(own.cond, text.cond, name)
        texts = {0: own.cond}
        for number in sorted(numbers - {0}):
            variant = conds.get(steered_variants.condition(number, name))
            texts[number] = texts[steered_variants.without_last_layer(number)] if variant is None else variant.cond.to(own.cond)
            conds[steered_variants.condition(number, name)] = type(own)(texts[number])
    return {**entry, "model_conds": conds}


def _refuse_another_space(used: Tensor, text: Tensor, name: str) -> None:
    """Raise MismatchError when a model's layers see another text than the conditioning the direction was aligned to."""
    if used.shape != text.shape or not torch.equal(used, text.to(used)):
        raise MismatchError(
            f"This model makes a text of its own out of the conditioning before its layers see it ({name}: "
            f"{tuple(text.shape)} became {tuple(used.shape)}), and the direction is aligned to the conditioning. {ADVICE}"
        )


def _steer_step(
    executor: WrapperExecutor,
    x: Tensor,
    t: Tensor,
    c_concat: Any = None,
    c_crossattn: Any = None,
    control: Any = None,
    transformer_options: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> Any:
    """Wrap APPLY_MODEL: move every text toward its variants by the step's shares, or leave that to blocks."""
    options = dict(transformer_options or {})
    texts = {CONTEXT: c_crossattn, **kwargs}
    steered = {name: steered_variants.numbers(texts, name) for name in NAMES.values()}
    run: Run = options[STATE]
    shares = [share_at(t[0], knots) for knots in run.knots]
    everywhere = tuple(layer.blocks is None for layer in run.layers)
    options[STATE] = None
    for name in (name for name, numbers in steered.items() if numbers):
        attached = {0: texts[name]} | {number: texts.pop(steered_variants.condition(number, name)) for number in steered[name]}
        texts[name] = between(attached, shares, everywhere)
        if name == CONTEXT and not all(everywhere):
            options[STATE] = Step(run.layers, attached, shares, {everywhere: texts[name]})
    context = texts.pop(CONTEXT)
    return executor(x, t, c_concat, context, control, options, **texts)


def between(texts: Mapping[int, Tensor], shares: Sequence[Tensor], acting: Sequence[bool]) -> Tensor:
    """Return the text between those with and without each layer, by the layers' shares; only acting layers count.

    `texts` are by variant number; one that is missing is the text without its last layer.
    """
    found: list[Tensor] = []
    for number in range(1 << len(shares)):
        found.append(texts[number] if number in texts else found[steered_variants.without_last_layer(number)])
    for share, acts in zip(shares, acting, strict=True):
        pairs = zip(found[::2], found[1::2], strict=True)
        found = [torch.lerp(low, high, share.to(high)) if acts and low is not high else low for low, high in pairs]
    return found[0]


def _steer_in_block(n: Tensor, context: Tensor, value: Tensor, options: Mapping[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
    """Patch attn2: hand the text steered by the layers that act in this block to its cross-attention."""
    step: Step | None = options.get(STATE)
    if step is None:
        return n, context, value
    part, number = options["block"][:2]
    acting = tuple(layer.blocks is None or holds(layer.blocks, part, number) for layer in step.layers)
    if acting == tuple(layer.blocks is None for layer in step.layers):
        return n, context, value
    if acting not in step.made:
        step.made[acting] = between(step.context, step.shares, acting)
    steered = step.made[acting]
    if steered.shape != context.shape:
        raise MismatchError(
            "Another node changes the text inside this model's blocks, which cannot be steered as well. Leave blocks "
            "empty on Apply Safety Steer, or remove that node."
        )
    steered = steered.to(context)
    return n, steered, steered if value is context else value
