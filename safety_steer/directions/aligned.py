"""AlignedDirection: a safety direction carried into one text encoder, in one file that needs nothing else.

An encoder hands its generator one or more *text spaces* (`cross_attn`, `pooled_output`); an AlignedSpace holds what steers one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ..categories import GLOBAL
from ..errors import FileFormatError
from ..storage import checks
from ..storage.prompt_files import MAX_CHARACTERS
from ..storage.stored import Stored
from .aligned_space import AlignedSpace
from .source import ModelIdentity, pack_text, unpack_text
from .space_file import parse_space, space_tensors, tensor_names
from .text_spaces import Place

KIND = "aligned-direction"
MAX_PROBES = 64  # by hand; prompts, all of which are encoded when a stranger's file is loaded


@dataclass(frozen=True, eq=False)
class AlignedDirection(Stored):
    """A safety direction in the text spaces of one encoder, with the strengths it is to be used with.

    `strengths` maps a category to how strongly it steers; categories left out do not steer. `direction_hash` names the
    SafetyDirection it came from, `settings` and `report` how it was fitted and how well. `places` says where in a
    conditioning entry each space lies; a space without a place is the whole tensor of its name. The first space, the one the
    map predicts best, decides the gate.
    """

    source: ModelIdentity
    encoder: str
    direction_hash: str
    categories: tuple[str, ...]
    spaces: Mapping[str, AlignedSpace]
    probe_prompts: tuple[str, ...]
    settings: Mapping[str, Any]
    report: Mapping[str, Any]
    strengths: Mapping[str, float] = field(default_factory=lambda: {GLOBAL: 1.0})
    places: Mapping[str, Place] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Give every space a place."""
        object.__setattr__(self, "places", MappingProxyType({name: self.places.get(name, Place(name)) for name in self.spaces}))

    def check_encoder(self, space: str, probes: Tensor) -> None:
        """Raise MismatchError when an encoder's pooled probe prompts (P, D) are not those of the alignment."""
        self.spaces[space].encoder.check_probes(self.encoder, probes)

    @classmethod
    def parse(cls, document: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> AlignedDirection:
        """Build an aligned direction from the two parts of a container; raises FileFormatError for anything but exactly one."""
        checks.check_kind(
            document,
            KIND,
            "Align a source direction to a text encoder first: Align Direction or `safety-steer align`.",
        )
        categories = checks.names(document, "categories")
        if categories[0] != GLOBAL:
            raise FileFormatError(f"The first category should be '{GLOBAL}', but is '{categories[0]}'.")
        space_names = checks.names(document, "spaces", limit=64)
        pictured = checks.names(document, "image_rows", limit=64) if "image_rows" in document else ()
        if not set(pictured) <= set(space_names):
            raise FileFormatError(
                "The file tells image rows apart in a text space it does not have. Align the direction again."
            )
        heard = checks.names(document, "harm_nets", limit=64) if "harm_nets" in document else ()
        if not set(heard) <= set(space_names):
            raise FileFormatError("The file hears harm in a text space it does not have. Align the direction again.")
        known = {space: {"pictured": space in pictured, "heard": space in heard} for space in space_names}
        expected = {f"{space}.{name}" for space in space_names for name in tensor_names(**known[space])}
        checks.check_names(tensors, expected | {"probe_prompts"})
        prompts = unpack_text(checks.take(tensors, "probe_prompts", (None,), torch.uint8))
        if len(prompts) > MAX_PROBES or max(map(len, prompts)) > MAX_CHARACTERS:
            raise FileFormatError(
                f"The file holds {len(prompts):,} probe prompts of up to {max(map(len, prompts)):,} characters; at most "
                f"{MAX_PROBES} of {MAX_CHARACTERS:,} are allowed. Align the direction again."
            )
        sizes = {"P": len(prompts), "G": 2 * len(gate_categories(categories)) + 1}
        spaces = {space: parse_space(tensors, f"{space}.", sizes, categories, **known[space]) for space in space_names}
        strengths = checks.field(document, "strengths", dict)
        places = checks.field(document, "places", dict)
        if set(places) != set(space_names):
            raise FileFormatError("The file does not say where its text spaces lie. Align the direction again.")
        unknown = sorted(set(strengths) - set(categories))
        if unknown:
            raise FileFormatError(f"The file has a strength for '{unknown[0][:64]}', which is none of its categories.")
        return cls(
            source=ModelIdentity.parse(checks.field(document, "source", dict)),
            encoder=checks.field(document, "encoder", str),
            direction_hash=checks.field(document, "direction_hash", str),
            categories=categories,
            spaces=MappingProxyType(spaces),
            probe_prompts=prompts,
            settings=checks.field(document, "settings", dict),
            report=_parse_report(checks.field(document, "report", dict)),
            strengths={name: checks.field(strengths, name, float) for name in strengths},
            places={name: Place.parse(checks.field(places, name, dict)) for name in space_names},
        )

    def _document(self) -> dict[str, Any]:
        pictured = [name for name, space in self.spaces.items() if space.images is not None]
        heard = [name for name, space in self.spaces.items() if space.harm is not None]
        return {
            "kind": KIND,
            "schema": checks.SCHEMA_VERSION,
            "source": self.source.document(),
            "encoder": self.encoder,
            "direction_hash": self.direction_hash,
            "categories": list(self.categories),
            "spaces": list(self.spaces),
            "places": {name: place.document() for name, place in self.places.items()},
            "settings": dict(self.settings),
            "report": dict(self.report),
            "strengths": dict(self.strengths),
            **({"image_rows": pictured} if pictured else {}),
            **({"harm_nets": heard} if heard else {}),
        }

    def _tensors(self) -> dict[str, Tensor]:
        named = ((space, name, tensor) for space, value in self.spaces.items() for name, tensor in space_tensors(value).items())
        tensors = {f"{space}.{name}": tensor for space, name, tensor in named}
        return {**tensors, "probe_prompts": pack_text(self.probe_prompts)}


def _parse_report(document: Mapping[str, Any]) -> dict[str, Any]:
    """Check that a report says something of each space, and why one was left out in words that can be shown."""
    for space in document:
        found = checks.field(document, space, dict)
        if "left_out" in found:
            checks.field(found, "left_out", str)
    return dict(document)


def gate_categories(categories: tuple[str, ...]) -> tuple[str, ...]:
    """Return the categories a gate tells apart: all but "global", or "global" where there is nothing else."""
    return categories[1:] or categories
