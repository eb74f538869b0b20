"""AlignedDirection: a safety direction carried into one text encoder, in one file that needs nothing else.

An encoder hands its generator one or more *text spaces* (`cross_attn`, `pooled_output`). For each, an AlignedSpace holds
the vectors to steer with, the readings that flag a token, the benign quantiles that say how unusual a reading is,
the gate that flags a whole prompt, and what is needed to notice that a tensor came from another encoder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ..categories import GLOBAL
from ..errors import FileFormatError, MismatchError
from ..storage import checks, container
from . import tensor_shapes
from .harm_net import HarmNet
from .pooling import SpaceReading, read_tokens, trust
from .quantiles import LEVELS
from .source import ModelIdentity, pack_text, unpack_text
from .text_spaces import Place

KIND = "aligned-direction"
MATCH_COSINE = 0.99
WITNESSES = 3
IMAGE_READINGS = 3


@dataclass(frozen=True, eq=False)
class AlignedSpace:
    """One text space of width D: how to read it, how to steer it, and what is normal in it.

    `vectors` (K, D) point to safe, in raw units; `readings` (K, D) and `offsets` (K,) give the unsafe reading of a
    token, u = offset - reading . h, in benign standard deviations with benign median 0. `token_quantiles`,
    `prompt_quantiles` and `phrase_quantiles` (K, Q) are quantiles of u over benign tokens, and of its maximum over a benign
    prompt's tokens and over its phrases, the means of u over four tokens in a row.
    `prompt_readings` (K, D) read a pooled prompt instead, + is safe. `gate_weights` (G, D) and `gate_biases` (G,) give
    log-densities of a pooled prompt, up to a constant, under C unsafe classes, C safe ones and the benign one (G = 2C + 1);
    `gate_quantiles` (4, Q) are benign quantiles of the prompt's log-odds, of its highest token, of its highest phrase, and of
    all three joined by `witness_weights` (3,).
    `mean` and `scale` (D,) are benign pooled statistics; `fit_limit` is the largest distance from them that still counts
    as this encoder. `probes` (P, D) are pooled probe prompts.
    Where an encoder takes pictures, `image_readings` (3, D) and `image_offsets` (3,) tell image rows from words, and
    `image_shift` (D,) is how far a picture moves the words behind it.
    `harm` decides the gate in place of the three witnesses; the first space has it where the direction came with examples.
    """

    vectors: Tensor
    readings: Tensor
    offsets: Tensor
    token_quantiles: Tensor
    prompt_quantiles: Tensor
    phrase_quantiles: Tensor
    prompt_readings: Tensor
    gate_weights: Tensor
    gate_biases: Tensor
    gate_quantiles: Tensor
    witness_weights: Tensor
    mean: Tensor
    scale: Tensor
    fit_limit: Tensor
    probes: Tensor
    image_readings: Tensor | None = None
    image_offsets: Tensor | None = None
    image_shift: Tensor | None = None
    harm: HarmNet | None = None

    @property
    def width(self) -> int:
        """Channels of one token."""
        return int(self.vectors.shape[1])

    def unsafe_reading(self, states: Tensor, columns: Sequence[int] | None = None) -> Tensor:
        """Return u for every token of (..., D), + is unsafe: (..., K) float32 on the same device.

        `columns` names the categories wanted, by number and in order; None wants all of them.
        """
        return read_tokens(states, self.readings, self.offsets, columns)

    def safe_score(self, pooled: Tensor) -> Tensor:
        """Read pooled prompts (N, D) along every category, benign mean 0, + is safe: (N, K) float32."""
        return (pooled.float() - self.mean.to(pooled.device)) @ self.prompt_readings.to(pooled.device).T

    def check(self, states: Tensor, space: str) -> None:
        """Raise MismatchError when conditioning (B, T, D) cannot have come from the encoder of the alignment."""
        SpaceReading(self, states).check(space)

    def distance(self, pooled: Tensor, counts: Tensor) -> Tensor:
        """Return how far pooled states (B, D) of `counts` (B,) tokens lie from the benign mean: (B,).

        In channel deviations, the median over channels, since a few outlier channels of a language model swing wildly;
        less for prompts of few tokens, whose average is that much noisier.
        """
        mean, scale = self.mean.to(pooled.device), self.scale.to(pooled.device)
        return ((pooled.float() - mean) / scale).abs().median(-1).values * trust(counts.to(pooled.device))


@dataclass(frozen=True, eq=False)
class AlignedDirection:
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
        expected = self.spaces[space].probes
        if probes.shape != expected.shape:
            raise MismatchError(
                f"This direction was aligned to '{self.encoder}' (width {expected.shape[-1]}), but this encoder has "
                f"width {probes.shape[-1]}. Align the direction to this encoder."
            )
        centred = torch.nn.functional.cosine_similarity(
            (probes.double() - self.spaces[space].mean) / self.spaces[space].scale,
            (expected.double() - self.spaces[space].mean) / self.spaces[space].scale,
            dim=-1,
        )
        if not float(centred.min()) >= MATCH_COSINE:
            raise MismatchError(
                f"This direction was aligned to '{self.encoder}', and this encoder gives different states for the probe "
                f"prompts (cosine {float(centred.min()):.3f}, expected {MATCH_COSINE} or more). Align the direction to it."
            )

    @property
    def content_hash(self) -> str:
        """SHA-256 of everything in the aligned direction; the same number that is in its file."""
        return container.content_hash(self._document(), self._tensors())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the aligned direction to a `.safetensors` file in one step; what `load` would refuse is refused here."""
        document, tensors = self._document(), self._tensors()
        self.parse(document, tensors)
        container.write(path, document, tensors)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> AlignedDirection:
        """Read and check an aligned direction; raises FileFormatError for anything that is not exactly one."""
        return cls.parse(*container.read(path))

    @classmethod
    def parse(cls, document: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> AlignedDirection:
        """Build an aligned direction from the two parts of a container; raises FileFormatError like `load`."""
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
        shapes = {space: tensor_shapes.shapes(space in pictured) for space in space_names}
        expected = {f"{space}.{name}" for space in space_names for name in shapes[space]} | {"probe_prompts"}
        expected |= {f"{space}.{name}" for space in heard for name in tensor_shapes.HARM_SHAPES}
        checks.check_names(tensors, expected)
        prompts = unpack_text(checks.take(tensors, "probe_prompts", (None,), torch.uint8))
        sizes = {"Q": len(LEVELS), "P": len(prompts), "W": WITNESSES, "E": WITNESSES + 1, "I": IMAGE_READINGS}
        sizes["G"] = 2 * len(gate_categories(categories)) + 1
        spaces = {
            space: AlignedSpace(
                **tensor_shapes.parse(tensors, space, shapes[space], sizes, categories),
                harm=tensor_shapes.parse_harm(tensors, space, len(LEVELS)) if space in heard else None,
            )
            for space in space_names
        }
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
            report=checks.field(document, "report", dict),
            strengths={name: checks.field(strengths, name, float) for name in strengths},
            places={name: Place.parse(checks.field(places, name, dict)) for name in space_names},
        )

    def _document(self) -> dict[str, Any]:
        pictured = [name for name, space in self.spaces.items() if space.image_readings is not None]
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
        named = (
            (space, name, getattr(value, name)) for space, value in self.spaces.items() for name in tensor_shapes.shapes(True)
        )
        tensors = {f"{space}.{name}": tensor for space, name, tensor in named if tensor is not None}
        for space, value in self.spaces.items():
            tensors |= tensor_shapes.harm_tensors(space, value.harm)
        return {**tensors, "probe_prompts": pack_text(self.probe_prompts)}


def gate_categories(categories: tuple[str, ...]) -> tuple[str, ...]:
    """Return the categories a gate tells apart: all but "global", or "global" where there is nothing else."""
    return categories[1:] or categories
