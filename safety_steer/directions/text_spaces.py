"""Text spaces: which tensors of a conditioning entry carry text, how they divide, and which of their rows count.

A generator can be told the same prompt in several spaces: SDXL by two encoders side by side on the channels, SD3 by two
encoders and a third after them on the tokens, Flux.2 by three layers of one, HiDream by thirty-two layers in a tensor of
their own. A direction means something in one space only, so each is aligned and steered apart. A Place says where in an
entry a space lies; `take` cuts it out as (B, T, D) or (B, D), `put_back` writes steered spaces into copies.

Rows that are no text are taken as zeros, which steering never touches: padding that an attention mask hides, and rows of
another encoder. Hidden rows are taken apart from the text, for `hidden_rows`, since not every model heeds the mask.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import FileFormatError
from ..storage import checks
from .prompt_rows import repeated, side_by_side

MASKS = {"cross_attn": "attention_mask", "conditioning_mt5xl": "attention_mask_mt5xl"}
# What an entry carries beside its text when it is about a picture; the text may or may not hold image tokens then.
PICTURES = ("reference_latents", "concat_latent_image", "guiding_frame_index", "ref_latent")
ROWS = ("all", "narrow", "wide")
# Text no generator here can do without, and text that only says what letters or lyrics to show or sing.
MAIN_TEXT = ("cross_attn", "conditioning_llama3", "conditioning_mt5xl")
SIDE_TEXT = ("pooled_output", "conditioning_byt5small", "conditioning_lyrics")
# The numbers of a prompt's tokens, for a model that reads nothing else: what stands in cross_attn is no text then.
TOKEN_IDS = ("text_input_ids",)
# What says how much generated sound counts, where cross_attn is that sound and no text: MiniMax Music 3.
SOUND = ("conditioning_scale",)
# What carries the prompt, or another one, to the model beside the text states: token numbers, sounds made of the prompt, text
# for a ControlNet, of reference pictures or of a pose, and boxes that name in words what is in them.
SECOND_WAYS = (
    *("t5xxl_ids", "audio_codes", "sam3_multi_cond", "gligen"),
    *("cross_attn_controlnet", "reference_latents_text_embeds", "cross_attn_pose"),
)
# What says nothing apart from the text it came with: weights and kinds of its tokens.
WITH_TEXT = ("t5xxl_weights", "minimax_token_tags", "unprocessed_ltxav_embeds", "num_layers_stacked")
# Texts that a model reads beside another one of the same encoder: Wan Animate 2 has a branch for poses with its own prompt.
COPIES = {"cross_attn_pose": "cross_attn"}


@dataclass(frozen=True)
class Place:
    """Where a text space lies in an entry: channels `start` to `stop` (0: the end) of the tensor `key`, `width` wide (0: any).

    `layer` is for tensors (B, L, T, D), else -1. Where encoders of several widths follow each other on the tokens, the
    narrower ones are padded with zeros from channel `edge` on: `rows` "narrow" are theirs and "wide" are the others.
    """

    key: str
    start: int = 0
    stop: int = 0
    width: int = 0
    layer: int = -1
    rows: str = "all"
    edge: int = 0

    def document(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Place:
        """Read the JSON form; raises FileFormatError for one that cannot be."""
        numbers = {name: checks.field(document, name, int) for name in ("start", "stop", "width", "layer", "edge")}
        place = cls(key=checks.field(document, "key", str), rows=checks.field(document, "rows", str), **numbers)
        ordered = 0 <= place.start < (place.stop or place.start + 1) and min(place.width, place.edge, place.layer + 1) >= 0
        if not ordered or place.rows not in ROWS:
            raise FileFormatError(f"The place of a text space makes no sense: {place}. Align the direction again.")
        return place

    def cut(self, tensor: Tensor) -> Tensor:
        """Return the space's channels of all rows, as a view (B, T, D) or (B, D); the tensor itself when that is all of it."""
        if self.layer >= 0:
            tensor = tensor[:, self.layer]
        if self.start == 0 and self.stop in (0, tensor.shape[-1]):
            return tensor
        return tensor[..., self.start : self.stop or None]

    def own_rows(self, tensor: Tensor) -> Tensor | None:
        """Return which rows (B, T) of the whole tensor belong to this space's encoder; None for all of them."""
        if self.rows == "all":
            return None
        wide = (tensor[..., self.edge :] != 0).any(-1)
        return wide if self.rows == "wide" else ~wide


def fits(entry: Mapping[str, Any], place: Place) -> bool:
    """Say whether an entry has the tensor of a place, with the layers and channels the place needs."""
    tensor = entry.get(place.key)
    if not isinstance(tensor, Tensor) or tensor.ndim not in ((4,) if place.layer >= 0 else (2, 3)):
        return False
    return place.layer < (tensor.shape[1] if place.layer >= 0 else 0) and tensor.shape[-1] == (place.width or tensor.shape[-1])


def take(entry: Mapping[str, Any], place: Place) -> Tensor:
    """Cut a text space out of an entry: (B, T, D) or (B, D), with zeros in rows that are not its text.

    The entry's own tensor, or a view into it, when every row counts.
    """
    part, counted = place.cut(entry[place.key]), _counted(entry, place)
    return part if counted is None else _only(part, counted, place.key)


def take_hidden(entry: Mapping[str, Any], place: Place) -> Tensor | None:
    """Cut the rows that a mask hides out of a text space: (B, T, D), with zeros in all others; None where it hides none."""
    hidden = _hidden(entry, place)
    if hidden is None or not bool(hidden.any()):
        return None
    return _only(place.cut(entry[place.key]), hidden, place.key)


def put_back(
    entry: Mapping[str, Any],
    places: Mapping[str, Place],
    steered: Mapping[str, Tensor],
    hidden: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Return copies of the entry's tensors, by key, with steered spaces in their places; uncounted rows stay as they were.

    A tensor is repeated to the rows of a steered space that has more. `hidden` are steered spaces as `take_hidden` cuts them
    out.
    """
    changed: dict[str, Tensor] = {}
    written = [(name, states, _counted(entry, places[name])) for name, states in steered.items()]
    written += [(name, states, _hidden(entry, places[name])) for name, states in (hidden or {}).items()]
    for name, states, rows in written:
        place = places[name]
        if place.key not in changed:
            changed[place.key] = repeated(entry[place.key], len(states)).clone()
        part = place.cut(changed[place.key])
        part.copy_(states if rows is None else torch.where(repeated(rows, len(states))[..., None], states, part))
    return changed


def _only(part: Tensor, rows: Tensor, key: str) -> Tensor:
    """Return a space (B, T, D) with zeros in all but some of its rows (B', T)."""
    part, rows = side_by_side(part, rows, (key, MASKS.get(key, key)))
    return torch.where(rows[..., None], part, 0)


def _counted(entry: Mapping[str, Any], place: Place) -> Tensor | None:
    """Return which rows (B, T) are the space's text; None for all of them."""
    return _both(place.own_rows(entry[place.key]), _shown(entry, place), place.key)


def _hidden(entry: Mapping[str, Any], place: Place) -> Tensor | None:
    """Return which rows (B, T) of the space's encoder a mask hides; None without a mask."""
    shown = _shown(entry, place)
    return None if shown is None else _both(place.own_rows(entry[place.key]), ~shown, place.key)


def _both(own: Tensor | None, shown: Tensor | None, key: str) -> Tensor | None:
    """Return which rows (B, T) are in both of two choices; None stands for all of them."""
    if own is None or shown is None:
        return shown if own is None else own
    own, shown = side_by_side(own, shown, (key, MASKS[key]))
    return own & shown


def _shown(entry: Mapping[str, Any], place: Place) -> Tensor | None:
    """Return which rows (B', T) the mask of a tensor shows, as many as it has; None without a mask."""
    tensor, mask = entry[place.key], entry.get(MASKS.get(place.key, ""))
    if not isinstance(mask, Tensor) or mask.shape[-1] != tensor.shape[-2] or mask.ndim != 2:
        return None
    return (mask != 0).to(tensor.device)


def left_alone(entry: Mapping[str, Any], places: Mapping[str, Place]) -> list[str]:
    """Name what carries an entry's text and no place reaches, itself or as a copy."""
    reached = {*(place.key for place in places.values()), *copies(entry, places)}
    return [key for key in (*MAIN_TEXT, *SIDE_TEXT, *SECOND_WAYS) if entry.get(key) is not None and key not in reached]


def copies(entry: Mapping[str, Any], places: Mapping[str, Place]) -> list[str]:
    """Return the keys of an entry that hold another text in spaces that a direction is aligned to."""
    spaces = {key: [place for place in places.values() if place.key == of] for key, of in COPIES.items()}
    texts = {key: {COPIES[key]: entry.get(key)} for key in COPIES}
    return [key for key, own in spaces.items() if own and all(fits(texts[key], place) for place in own)]


def second_ways(keys: Iterable[str]) -> list[str]:
    """Return the keys that carry text to the model beside the text states of an entry."""
    return [key for key in keys if key in SECOND_WAYS]


def is_text(key: str) -> bool:
    """Say whether a key of an entry holds text or what goes with it; all other keys say where, when, and what else there is."""
    return key in (*MAIN_TEXT, *SIDE_TEXT, *SECOND_WAYS, *TOKEN_IDS, *SOUND, *WITH_TEXT, *MASKS.values())


def only_token_ids(entry: Mapping[str, Any]) -> bool:
    """Say whether an entry's text is token numbers, which the model itself encodes: they have no direction to be moved along.

    States that are one channel wide are such numbers too.
    """
    states = entry.get("cross_attn")
    numbers = isinstance(states, Tensor) and states.ndim == 3 and states.shape[-1] == 1
    return numbers or any(entry.get(key) is not None for key in TOKEN_IDS)


def generated_sound(entry: Mapping[str, Any]) -> bool:
    """Say whether an entry's states are sound that an encoder generated for the prompt, and no text."""
    return any(entry.get(key) is not None for key in SOUND)


def pictured(entry: Mapping[str, Any]) -> bool:
    """Say whether an entry is known to come with a picture."""
    return any(entry.get(key) is not None for key in PICTURES)
