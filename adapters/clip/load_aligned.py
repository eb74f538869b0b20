"""An aligned direction from a file, for a CLIP that still does what the encoder of the alignment did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...safety_steer.directions.aligned import AlignedDirection
from ...safety_steer.directions.text_spaces import Place
from ...safety_steer.directions.vision_spaces import is_vision
from ...safety_steer.errors import MismatchError
from .. import direction_text, fit_cache, folders, trusted_keys
from .encode_prompts import ClipText, encoder_name, study
from .fit_direction import encode_all, said_of_fit

if TYPE_CHECKING:
    from comfy.sd import CLIP


def load_aligned(name: str, clip: CLIP) -> tuple[AlignedDirection, str]:
    """Return a listed aligned direction, and what to say of it.

    Raises FileFormatError for an unusable file, EncoderError for a CLIP without text states, and MismatchError for one that is
    not the encoder of the alignment.
    """
    path, trusted = folders.aligned_path(name), trusted_keys.trusted_keys()
    aligned, verdict = AlignedDirection.load_signed(path, trusted)
    refuse_vision(aligned)
    trusted_keys.warn(name, verdict)
    encoder, encoding = encoder_name(clip, "Load Aligned Direction"), study(clip)
    agreement = _checked(name, aligned, encoder, encoding)
    stem = name.removesuffix(".safetensors")
    checked = f"checked with {len(aligned.probe_prompts)} harmless prompts (cosine {agreement:.4f})"
    lines = [f"{', '.join(aligned.spaces)} of {encoder}, read from {stem} and {checked}"]
    missing = [space for space in encoding.places if space not in aligned.spaces and space not in aligned.report]
    lines += [f"not in the file, and left alone: {', '.join(missing)}"] if missing else []
    return aligned, "\n".join([*lines, *said_of_fit(aligned, encoding), direction_text.origin(aligned, verdict)])


def refuse_vision(aligned: AlignedDirection) -> None:
    """Raise MismatchError for a direction fitted to CLIP vision: what it could be checked by, pictures, is not in its file."""
    if is_vision(aligned):
        raise MismatchError(
            f"Expected a direction aligned to a text encoder, but got one aligned to CLIP vision ({aligned.encoder[:40]}): the "
            "pictures to check it by are not in such a file. Use Align Direction (Vision) in each workflow."
        )


def _checked(name: str, aligned: AlignedDirection, encoder: str, encoding: ClipText) -> float:
    """Return how alike the probe prompts are in the space where they are least; raises MismatchError for another encoder."""
    if not fit_cache.same_places(aligned, encoding.places):
        raise MismatchError(
            f"'{name[:80]}' was aligned to '{aligned.encoder[:80]}', whose text lies in {_listed(aligned.places)}, but this "
            f"CLIP is {encoder}, whose text lies in {_listed(encoding.places)}. Connect the CLIP it was made for, or use Align "
            "Direction."
        )
    answers = fit_cache.pooled_answers(encode_all(encoding, aligned.probe_prompts))
    for space in aligned.spaces:
        aligned.check_encoder(space, answers[space])
    return min(found.encoder.agreement(answers[space]) for space, found in aligned.spaces.items())


def _listed(places: Mapping[str, Place]) -> str:
    return ", ".join(f"{name[:40]} ({place.width or 'any'} wide)" for name, place in list(places.items())[:4])
