"""Vision spaces: which tensors of what CLIP vision says of a picture a generator reads, and what an entry calls them.

A picture comes in as one object with several tensors, each read by other generators: Wan reads the penultimate states, Redux
and HunyuanVideo 1.5 the last ones, unCLIP and Stable Cascade the embedding. They all say the same picture, so one gate decides
for all of them. SVD, SV3D and Stable Zero123 carry the embedding itself where others carry their text.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .aligned import AlignedDirection

LAST, PENULTIMATE, EMBEDS = "last_hidden_state", "penultimate_hidden_states", "image_embeds"
FIELDS = (LAST, PENULTIMATE, EMBEDS, "mm_projected")
# Layers side by side, of which the last but one is the penultimate states once more.
STACK = "all_hidden_states"
# Keys of a conditioning entry that hold what CLIP vision says: one output, a list of them, a list with strengths.
SINGLE = ("clip_vision_output", "clip_vision_output_pose", "clip_vision_output_ref")
LISTED = "clip_vision_outputs"
UNCLIP = "unclip_conditioning"
# Ways of a picture into a generator past CLIP vision: as a latent, or as rows of a text encoder that sees.
PAST_VISION = ("concat_latent_image", "reference_latents", "guiding_frame_index", "ref_latent")
CAMERA = 4  # channels that Stable Zero123 appends to the embedding


def is_vision(aligned: AlignedDirection) -> bool:
    """Say whether a direction is fitted to CLIP vision, not to a text encoder."""
    return all(name in FIELDS for name in aligned.spaces)


def take(output: Any) -> dict[str, Tensor]:
    """Return the vision spaces of what CLIP vision says of B pictures, by name: (B, T, D) or (B, D)."""
    found = {name: getattr(output, name, None) for name in FIELDS}
    return {name: part for name, part in found.items() if isinstance(part, Tensor) and part.ndim in (2, 3)}


def put_back(output: Any, steered: Mapping[str, Tensor]) -> Any:
    """Return a copy of what CLIP vision says with steered spaces in their places; the stack of layers holds them too."""
    made = copy.copy(output)
    for name, tensor in steered.items():
        # Not setattr: the library's own value is frozen, and ComfyUI's is not.
        object.__setattr__(made, name, tensor)
    stack = getattr(output, STACK, None)
    if PENULTIMATE in steered and isinstance(stack, Tensor) and torch.equal(stack[:, -2], getattr(output, PENULTIMATE)):
        layers = stack.clone()
        layers[:, -2] = steered[PENULTIMATE]
        object.__setattr__(made, STACK, layers)
    return made


def outputs(entry: Mapping[str, Any]) -> Iterator[Any]:
    """Yield all that CLIP vision says in a conditioning entry."""
    yield from (entry[key] for key in SINGLE if entry.get(key) is not None)
    yield from (item for item in entry.get(LISTED) or () if item is not None)
    yield from (item["clip_vision_output"] for item in entry.get(UNCLIP) or () if item.get("clip_vision_output") is not None)


def with_outputs(entry: Mapping[str, Any], made: Mapping[int, Any]) -> dict[str, Any]:
    """Return a copy of an entry with what CLIP vision says replaced, given by the `id` of what was there."""
    result = dict(entry)

    def new(item: Any) -> Any:
        return made.get(id(item), item)

    for key in SINGLE:
        if entry.get(key) is not None:
            result[key] = new(entry[key])
    if entry.get(LISTED):
        result[LISTED] = [new(item) for item in entry[LISTED]]
    if entry.get(UNCLIP):
        result[UNCLIP] = [
            {**item, "clip_vision_output": new(item["clip_vision_output"])} if "clip_vision_output" in item else item
            for item in entry[UNCLIP]
        ]
    return result


def embedding_for_text(entry: Mapping[str, Any], width: int) -> Tensor | None:
    """Return the embeddings (B, D) of B pictures that an entry carries in place of text, None where it carries text.

    Nodes for SVD, SV3D and Stable Zero123 add the picture's latent, and no pooled text, which every text encoder gives a key.
    `width` is D; Stable Zero123 has four numbers of its camera behind the embedding.
    """
    states = entry.get("cross_attn")
    if not isinstance(states, Tensor) or states.ndim != 3 or "pooled_output" in entry or "concat_latent_image" not in entry:
        return None
    return states[..., :width].flatten(0, 1) if states.shape[-1] in (width, width + CAMERA) else None


def past_vision(entry: Mapping[str, Any]) -> list[str]:
    """Name the ways a picture of an entry takes past CLIP vision, which no vision direction reaches."""
    return [key for key in PAST_VISION if entry.get(key) is not None]
