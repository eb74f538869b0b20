"""Does a model answer its conditioning? Asked once of every loaded model, before the first prompt that steering changed.

A model may be handed text states and look at something else (HiDream-O1 reads token ids): steering would say that tokens moved,
and the picture would be the same bit for bit. So the model is shown two texts, a prompt and the same one with its channels in
reverse, and has to give two answers. Both travel as a role of their own, so that ComfyUI makes model conditions of them as of
any prompt; they are gone before sampling starts. Wrappers of other nodes stay out of it: some count or keep what passes by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from comfy.patcher_extension import WrapperExecutor, WrappersMP
from comfy.samplers import calc_cond_batch

from ...safety_steer.directions.text_spaces import Place, fits
from ...safety_steer.errors import MismatchError
from ..node_text import LOGGER
from .roles import OURS
from .step_windows import Entry

if TYPE_CHECKING:
    from comfy.model_base import BaseModel
    from comfy.model_patcher import ModelPatcher
    from torch import Tensor

    from ...safety_steer.directions.aligned import AlignedDirection

KEY, KEYS = "safety_steer_answers", "safety_steer_answers_to"
# Where and when an entry acts, and what acts beside it: no part of what a model makes of a text.
SCOPE = (
    *("area", "strength", "mask", "mask_strength", "set_area_to_bounds", "start_percent", "end_percent", "default"),
    *("clip_start_percent", "clip_end_percent", "control", "control_apply_to_uncond", "gligen", "hooks"),
)
SAME = 1e-6  # of an answer's length; a batch's rows can differ by rounding
SEEDED = ("cuda", "xpu")  # devices whose generators can be put back one by one
FAILURES = (RuntimeError, TypeError, ValueError, LookupError, AttributeError)

_answering: WeakKeyDictionary[BaseModel, set[tuple[str, ...]]] = WeakKeyDictionary()


def attach(patched: ModelPatcher) -> None:
    """Add to a model clone what asks the question that `ask` leaves."""
    if not patched.get_wrappers(WrappersMP.SAMPLER_SAMPLE, KEY):
        patched.add_wrapper_with_key(WrappersMP.SAMPLER_SAMPLE, KEY, _check)


def ask(guider: Any, direction: AlignedDirection, positive: Sequence[Entry]) -> None:
    """Put a positive entry and one that says something else among a guider's conditions, for a model not known to answer.

    The other one says it in the spaces of the direction alone: Stable Cascade's stage B reads no text but the pooled state.
    """
    places = {name: direction.places[name] for name in direction.spaces}
    if _keys(places) in _answering.get(guider.model_patcher.model, ()):
        return
    entry = next(entry for entry in positive if entry.get("cross_attn") is not None)
    plain = {name: value for name, value in entry.items() if name not in SCOPE and not name.startswith(OURS)}
    other = {place.key: entry[place.key].flip(-1) for place in places.values() if fits(entry, place)}
    guider.conds[KEY] = [{**plain, "model_conds": {}}, {**plain, **other, "model_conds": {}, KEYS: _keys(places)}]


def _keys(places: Mapping[str, Place]) -> tuple[str, ...]:
    return tuple(sorted({place.key for place in places.values()}))


def _check(
    executor: WrapperExecutor, guider: Any, sigmas: Tensor, extra_args: dict[str, Any], callback: Any, noise: Tensor, *args: Any
) -> Any:
    """Wrap SAMPLER_SAMPLE: take the question out of the conditions, and raise MismatchError when the model does not answer."""
    if KEY in guider.conds:
        asked = guider.conds[KEY][:2]
        guider.conds = {role: entries for role, entries in guider.conds.items() if role != KEY}
        model = guider.inner_model
        try:
            answers = _answers(model, asked, sigmas[0], extra_args["model_options"], noise, *args[:1])
        except FAILURES as error:
            LOGGER.warning("Safety Steer could not check that %s answers its text: %s", type(model).__name__, error)
        else:
            _refuse_silence(model, *answers)
            _answering.setdefault(model, set()).add(asked[1][KEYS])
    return executor(guider, sigmas, extra_args, callback, noise, *args)


def _answers(
    model: BaseModel, entries: Sequence[Entry], sigma: Tensor, options: Mapping[str, Any], noise: Tensor, latent: Tensor
) -> list[Tensor]:
    """Return what a model makes of each entry at the first step."""
    inner = {
        name: value
        for name, value in options.get("transformer_options", {}).items()
        if name not in ("wrappers", "callbacks") and not name.startswith(OURS)
    }
    kept = {name: options[name] for name in ("context_handler",) if name in options}
    conds = [[{name: value for name, value in entry.items() if name not in SCOPE}] for entry in entries]
    start = model.model_sampling.noise_scaling(sigma, noise, latent)
    kind = noise.device.type if noise.device.type in SEEDED else "cuda"
    # Some models draw random numbers (ACE-Step): sampling is to find the generators as they were.
    with torch.random.fork_rng([noise.device] if noise.device.type in SEEDED else [], device_type=kind):
        made: list[Tensor] = calc_cond_batch(
            model, conds, start, sigma.expand(len(noise)), {**kept, "transformer_options": inner}
        )
    return made


def _refuse_silence(model: BaseModel, one: Tensor, other: Tensor) -> None:
    if float((one - other).norm()) <= SAME * float(one.norm()):
        raise MismatchError(
            f"Expected a model that answers its conditioning, but {type(model).__name__} gives the same for two unlike "
            "prompts. It reads its text elsewhere, and steering would change nothing. Set site to 'conditioning' on Apply "
            "Safety Steer; if it is that already, take Apply Safety Steer off this MODEL wire: its prompts are not made safer."
        )
