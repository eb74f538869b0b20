"""From the text side to CLIP vision, with harmless captioned pictures only (Text-Guided Alignment, arXiv 2410.12662).

A caption and its picture mean the same, so that pairs of them say how the source's states go over into what CLIP vision says: a
caption is the anchor, and the rest is the alignment of text. The source model is not at hand then. What it would say of a
caption comes through a text encoder at hand: a reverse map from its states to the source's is fitted on the direction's own
harmless prompts, whose source states the direction carries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..directions.aligned import AlignedDirection
from ..directions.source import SafetyDirection, rounded
from ..directions.text_spaces import Place
from ..errors import AlignmentError
from ..extraction.extract_direction import MIN_ANCHORS
from . import wide
from .align_direction import AlignSettings, align
from .anchors import AnchorStates
from .held_out import held_out_report, refuse_chance
from .maps import ridge_map


def align_pictures(
    direction: SafetyDirection,
    captions: Sequence[str],
    source: Tensor,
    pictures: Mapping[str, AnchorStates],
    encoder: str,
    settings: AlignSettings | None = None,
) -> AlignedDirection:
    """Align a direction to CLIP vision, given N harmless pictures with captions.

    `source` (N, d) are standardised source states of the captions, `pictures` what CLIP vision says of the pictures by vision
    space, in order. The first pictures' captions name the probes. Raises AlignmentError for fewer than 64 pictures, or when no
    map is better than one fitted on shuffled pairs.
    """
    if len(captions) < MIN_ANCHORS:
        raise AlignmentError(f"Expected at least {MIN_ANCHORS} captioned pictures, but got {len(captions)}. Add pictures.")
    examples = direction.examples and replace(
        direction.examples, hard=torch.zeros(len(captions), dtype=torch.bool), passages=()
    )
    paired = replace(direction, anchors=tuple(captions), anchor_activations=rounded(source), examples=examples)
    places = {name: Place(name) for name in pictures}
    aligned = align(paired, pictures, encoder, settings, places=places)
    return replace(aligned, direction_hash=direction.content_hash)


def captions_in_source(
    direction: SafetyDirection,
    anchors: Mapping[str, AnchorStates],
    captions: Mapping[str, AnchorStates],
    rows: Sequence[int] | None = None,
) -> Tensor:
    """Return standardised source states (N, d) of captions, by a reverse map from a text encoder's states.

    `anchors` are the encoder's states, by text space, of the direction's anchors or of those named by `rows`, `captions`
    those of N captions. Raises AlignmentError when no reverse map is better than one fitted on shuffled anchors.
    """
    names = sorted(anchors)
    source = direction.anchor_activations if rows is None else direction.anchor_activations[list(rows)]
    middle = source.double().mean(0)
    text = [wide.statistics(anchors[name].pooled) for name in names]
    here, there = (
        torch.cat([(states[name].pooled.double() - mean) / scale for name, (mean, scale) in zip(names, text, strict=True)], 1)
        for states in (anchors, captions)
    )
    refuse_chance(held_out_report("ridge", here, source.double() - middle), "the direction's source from this text encoder")
    return (ridge_map(here, source.double() - middle)(there) + middle).float()
