"""The tokens a ComfyUI CLIP makes of a prompt: a list of sections for every part of the encoder that reads the prompt.

Some tokenizers put more into the same dictionary: ACE-Step 1.5 says how its language model is to sample sounds. That is no text
and is handed on as it is. Those sounds take minutes, are made of the prompt as it was and do not enter the text states, so
that an alignment goes without them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from comfy.sd import CLIP

Tokens = dict[str, Any]
Sections = list[list[Any]]

SAMPLES, SAMPLED = "generate_audio_codes", "audio_codes"
# How much sound an encoder is to make of a prompt that gives nothing else: MiniMax Music 3.
SOUND = "max_audio_frames"


def sections(tokens: Tokens) -> dict[str, Sections]:
    """Return the sections of every part that reads the prompt, without what else the tokenizer says."""
    return {key: found for key, found in tokens.items() if _is_sections(found)}


def shape(tokens: Tokens) -> tuple[tuple[int, ...], ...]:
    """Return how long the sections of every part are."""
    found = sections(tokens)
    return tuple(tuple(map(len, found[key])) for key in sorted(found))


def length(tokens: Tokens) -> int:
    """Return how many tokens the longest part has."""
    return max((sum(part) for part in shape(tokens)), default=0)


def merged(group: Sequence[Tokens]) -> Tokens:
    """Return prompts as the sections of one; what is no section is the first prompt's."""
    return {**group[0], **{key: [one for tokens in group for one in tokens[key]] for key in sections(group[0])}}


def without_sampling(clip: CLIP) -> dict[str, Any]:
    """Return the option that keeps an encoder from sampling sounds for a prompt, where its tokenizer says that it would."""
    said = [found for found in clip.tokenize("a").values() if isinstance(found, Mapping)]
    return {SAMPLES: False} if any(found.get(SAMPLES) for found in said) else {}


def without_padding(clip: CLIP) -> dict[str, Any]:
    """Return the options that keep a tokenizer from padding as far as it lets itself be asked, and from sampling sounds."""
    options = without_sampling(clip)
    names = {*sections(clip.tokenize("a", **options)), *(name for name, _ in clip.cond_stage_model.named_children())}
    return {"tokenizer_options": {f"{name}_min_length": 0 for name in names}, **options}


def beside(options: Mapping[str, Any]) -> list[str]:
    """Name what `without_sampling` left out."""
    return [SAMPLED] if SAMPLES in options else []


def generates_sound(tokens: Tokens) -> bool:
    """Say whether what an encoder would give for these tokens is sound that it generates, and no text."""
    return SOUND in tokens


def _is_sections(found: Any) -> bool:
    return isinstance(found, list) and bool(found) and all(isinstance(section, list) for section in found)
