"""Steered variants: versions of an entry's text that travel beside it among the model's conditions.

Each node at the cross-attention site is a layer with a bit of its own. A variant's number says which layers have acted on it;
0 is the text as it is without any of them. What a layer left alone has no variant: it is the text without its last layer.
"""

from __future__ import annotations

from collections.abc import Iterable

from comfy.conds import CONDRegular

from .step_windows import Entry

PREFIX = "safety_steer_target_"
CONTEXT = "c_crossattn"
# What a model's conditions call the text tensors of an entry.
NAMES = {
    "cross_attn": CONTEXT,
    "conditioning_llama3": "encoder_hidden_states_llama3",
    "conditioning_mt5xl": "encoder_hidden_states_t5",
    "conditioning_byt5small": "txt_byt5",
    "cross_attn_pose": "context_pose",
}


def condition(number: int, name: str) -> str:
    """Return what the model's conditions call the variant `number` of their text `name`."""
    return f"{PREFIX}{number}_{name}"


def numbers(conds: Iterable[str], name: str | None = None) -> list[int]:
    """Return the numbers of the variants among conditions, in order: of one text, or of all."""
    split = (key.removeprefix(PREFIX).partition("_") for key in conds if key.startswith(PREFIX))
    return sorted({int(number) for number, _, of in split if name in (None, of)})


def without_last_layer(number: int) -> int:
    """Return the number without its last layer."""
    return number & ~(1 << (number.bit_length() - 1)) if number else 0


def text_of(entry: Entry, number: int) -> Entry:
    """Return an entry with its text as the variant `number` has it."""
    conds, texts = entry.get("model_conds", {}), {}
    for key, name in NAMES.items():
        wanted = number
        while wanted and condition(wanted, name) not in conds:
            wanted = without_last_layer(wanted)
        if wanted:
            texts[key] = conds[condition(wanted, name)].cond
    return {**entry, **texts}


def put(entry: Entry, number: int, steered: Entry, before: Entry) -> Entry:
    """Return an entry with what changed from `before` to `steered` as its variant `number`, and its own text as number 0.

    The entry itself when nothing changed.
    """
    changed = {key: name for key, name in NAMES.items() if steered.get(key) is not before.get(key)}
    if not changed:
        return entry
    own = {condition(0, name): CONDRegular(entry[key]) for key, name in changed.items()}
    made = {condition(number, name): CONDRegular(steered[key]) for key, name in changed.items()}
    return {**entry, "model_conds": {**own, **entry.get("model_conds", {}), **made}}
