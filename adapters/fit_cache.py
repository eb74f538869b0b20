"""Fits kept on disk, and found again by what the encoder does rather than by what it is called."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..safety_steer import __version__
from ..safety_steer.directions.aligned import AlignedDirection
from ..safety_steer.directions.pooling import pool
from ..safety_steer.directions.text_spaces import Place
from ..safety_steer.errors import MismatchError, SafetySteerError
from . import folders, node_text

EncodePrompts = Callable[[Sequence[str]], dict[str, list[Tensor]]]

MAX_CANDIDATES = 16  # by hand: each is a file to read and prompts to encode
CLOCK_SECONDS = 60.0  # by hand: how far the clocks of a computer and of a disk in the network may be apart
LEFT_SECONDS = 86_400.0  # by hand: a fit is written in less than a second


def fit_key(direction_hash: str, encoder: str, settings: dict[str, Any]) -> str:
    """Name a fit by all that goes into it but the encoder's weights."""
    body = {"direction": direction_hash, "encoder": encoder, "settings": settings, "version": __version__}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:32]


def find(key: str, places: Mapping[str, Place], encode: EncodePrompts) -> AlignedDirection | None:
    """Return the newest fit under `key` for these places whose probe prompts this encoder answers alike; None without one.

    One key can have several fits: of one encoder with different LoRAs or clip skip.
    """
    answers: dict[tuple[str, ...], dict[str, Tensor]] = {}
    paths = sorted(folders.fits_folder().glob(f"{key}-*.safetensors"), key=_written, reverse=True)
    for path in paths[:MAX_CANDIDATES]:
        try:
            aligned = AlignedDirection.load(path)
        except SafetySteerError as error:
            node_text.LOGGER.warning("Safety Steer makes a new fit, because a kept one cannot be used: %s", error)
            continue
        if not same_places(aligned, places):
            continue
        prompts = aligned.probe_prompts
        if prompts not in answers:
            answers[prompts] = pooled_answers(encode(prompts))
        if _same_encoder(aligned, answers[prompts]):
            return aligned
    return None


def store(key: str, aligned: AlignedDirection) -> None:
    """Keep a fit under `key`; where the disk refuses, the fit is used once and made again next time."""
    folder = folders.fits_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        aligned.save(folder / f"{key}-{aligned.content_hash[:16]}.safetensors")
    except (OSError, SafetySteerError) as error:
        node_text.LOGGER.warning(
            "Safety Steer could not keep this fit in %s: %s. It is used now, and made again next time. Make room there, or let "
            "ComfyUI write there.",
            folder,
            getattr(error, "strerror", None) or str(error).rstrip("."),
        )


def _written(path: Path) -> float:
    """Return when a fit was written; 0 for one from the future, which was before the clock was set back, and for one gone."""
    try:
        written = path.stat().st_mtime
    except OSError:
        return 0.0
    return written if written <= time.time() + CLOCK_SECONDS else 0.0


def _sweep(folder: Path) -> None:
    """Delete what a process that was killed while it wrote has left, once nobody can be at it any more."""
    for path in folder.glob(".*.part"):
        with contextlib.suppress(OSError):
            if abs(time.time() - path.stat().st_mtime) > LEFT_SECONDS:
                path.unlink()


def same_places(aligned: AlignedDirection, places: Mapping[str, Place]) -> bool:
    """Say whether an encoder has all text spaces of an alignment where that found them; some say no width, which is any."""
    return all(
        space in places and place in (places[space], replace(places[space], width=0)) for space, place in aligned.places.items()
    )


def pooled_answers(states: Mapping[str, Sequence[Tensor]]) -> dict[str, Tensor]:
    """Return the pooled states (N, D) of N prompts' token states (T_i, D), by text space."""
    return {space: torch.cat([pool(rows[None]) for rows in found]).cpu() for space, found in states.items()}


def _same_encoder(aligned: AlignedDirection, answers: dict[str, Tensor]) -> bool:
    try:
        for space in aligned.spaces:
            aligned.check_encoder(space, answers[space])
    except MismatchError:
        return False
    return True
