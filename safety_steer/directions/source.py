"""SafetyDirection: what one source language model knows about safe and unsafe, in one portable file.

It holds a vector per category, what is needed to read them (channel statistics, readings, probes), and benign anchor
prompts with their source activations, so that a target user can align it without the source model and without
any unsafe text.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..categories import GLOBAL
from ..errors import FileFormatError
from ..storage import checks
from ..storage.stored import Stored
from .gate_examples import GateExamples

KIND = "safety-direction"
MAX_TEXT_BYTES, MAX_LINES = 32 * 2**20, 200_000  # by hand


@dataclass(frozen=True)
class ModelIdentity:
    """Which model activations came from: a name for people, and the sizes that must agree."""

    name: str
    architecture: str
    width: int
    depth: int

    def document(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"name": self.name, "architecture": self.architecture, "width": self.width, "depth": self.depth}

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> ModelIdentity:
        """Read the JSON form; raises FileFormatError when a key is missing or of the wrong type."""
        return cls(
            name=checks.field(document, "name", str),
            architecture=checks.field(document, "architecture", str),
            width=checks.field(document, "width", int),
            depth=checks.field(document, "depth", int),
        )


@dataclass(frozen=True, eq=False)
class SafetyDirection(Stored):
    """One safety direction per category in a source model's activation space; + points to safe.

    With K categories (`categories[0]` is "global"), width d (the chosen layers side by side), N anchors and rank r:
    `vectors` (K, d) are raw activation differences safe - unsafe (arXiv 2606.05290 eq. 1-2); `mean` and `scale` (d,)
    are benign anchor statistics per channel; z = (h - mean) / scale. `readings` (K, d) read z, with + for safe.
    `probe_weights` (K, d) and `probe_biases` (K,) are classifiers of z, + for unsafe. `safe_means` and `unsafe_means`
    (K, d) are class means of z, and `spread` (r, d) a factor of the within-class covariance of z, S = spread^T spread.
    `anchor_activations` (N, d) are float16 z values of `anchors`, rounded to what eight bits can say (`rounded`), which is how
    files hold them. `examples` teach the gate; directions made before 2026-11-28 have none, and a gate that knows short
    prompts only.
    """

    source: ModelIdentity
    layers: tuple[int, ...]
    pooling: str
    estimator: str
    categories: tuple[str, ...]
    vectors: Tensor
    readings: Tensor
    mean: Tensor
    scale: Tensor
    probe_weights: Tensor
    probe_biases: Tensor
    safe_means: Tensor
    unsafe_means: Tensor
    spread: Tensor
    anchors: tuple[str, ...]
    anchor_activations: Tensor
    report: Mapping[str, Any] = field(default_factory=dict)
    examples: GateExamples | None = None

    @property
    def passages(self) -> tuple[str, ...]:
        """Long harmless prompts that an encoder is asked for beside the anchors; none in older directions."""
        return () if self.examples is None else self.examples.passages

    @property
    def width(self) -> int:
        """Channels of one activation: source width times the number of layers."""
        return int(self.vectors.shape[1])

    def standardise(self, activations: Tensor) -> Tensor:
        """Return z = (h - mean) / scale for raw activations (..., d), in float64."""
        return (activations.double() - self.mean.double()) / self.scale.double()

    def score(self, activations: Tensor) -> Tensor:
        """Read raw pooled activations (N, d) along every category: (N, K), + is safer, in benign units."""
        return self.standardise(activations) @ self.readings.double().T

    def probe(self, activations: Tensor) -> Tensor:
        """Return each category's probe logit for raw pooled activations (N, d): (N, K), + is unsafe."""
        return self.standardise(activations) @ self.probe_weights.double().T + self.probe_biases.double()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the direction to a file; passages that it would not give back are refused, and what `load` would refuse."""
        if _unpacked(pack_text(self.passages)) != self.passages:
            raise FileFormatError("A long harmless prompt is empty or has a line break in it. Put every prompt on one line.")
        super().save(path)

    @classmethod
    def parse(cls, document: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> SafetyDirection:
        """Build a direction from the two parts of a container; raises FileFormatError like `load`."""
        checks.check_kind(
            document,
            KIND,
            "It is fitted to one encoder already: choose the source direction it was made from.",
        )
        source = ModelIdentity.parse(checks.field(document, "source", dict))
        layers = tuple(checks.field({"layer": item}, "layer", int) for item in checks.field(document, "layers", list))
        categories = checks.names(document, "categories")
        if not 0 < len(layers) <= 256 or source.width < 1 or any(not 0 <= layer <= source.depth for layer in layers):
            raise FileFormatError(f"Layers {list(layers)[:8]} do not exist in a model of depth {source.depth}.")
        if categories[0] != GLOBAL:
            raise FileFormatError(f"The first category should be '{GLOBAL}', but is '{categories[0]}'.")
        count, width = len(categories), source.width * len(layers)
        shapes: dict[str, tuple[tuple[int | None, ...], torch.dtype]] = {
            "vectors": ((count, width), torch.float32),
            "readings": ((count, width), torch.float32),
            "mean": ((width,), torch.float32),
            "scale": ((width,), torch.float32),
            "probe_weights": ((count, width), torch.float32),
            "probe_biases": ((count,), torch.float32),
            "safe_means": ((count, width), torch.float32),
            "unsafe_means": ((count, width), torch.float32),
            "spread": ((None, width), torch.float16),
            "anchor_activations": ((None, width), torch.float8_e4m3fn),
            "anchors": ((None,), torch.uint8),
        }
        taught = document.get("examples") is True
        checks.check_names(tensors, set(shapes) | (set(_EXAMPLES) if taught else set()))
        loaded = {name: checks.take(tensors, name, *shape) for name, shape in shapes.items()}
        checks.check_directions(loaded["vectors"], categories)
        if not bool((loaded["scale"] > 0).all()):
            raise FileFormatError("The channel scales should be above 0. Make or get the file again.")
        anchors = unpack_text(loaded.pop("anchors"))
        if len(anchors) != len(loaded["anchor_activations"]):
            raise FileFormatError(
                f"The file holds {len(anchors):,} anchor prompts but {len(loaded['anchor_activations']):,} activations."
            )
        return cls(
            source=source,
            layers=layers,
            pooling=checks.field(document, "pooling", str),
            estimator=checks.field(document, "estimator", str),
            categories=categories,
            anchors=anchors,
            report=checks.field(document, "report", dict),
            examples=_parse_examples(tensors, width, len(anchors)) if taught else None,
            **{**loaded, "anchor_activations": loaded["anchor_activations"].half()},
        )

    def _document(self) -> dict[str, Any]:
        return {
            "kind": KIND,
            "schema": checks.SCHEMA_VERSION,
            "source": self.source.document(),
            "layers": list(self.layers),
            "pooling": self.pooling,
            "estimator": self.estimator,
            "categories": list(self.categories),
            "report": dict(self.report),
            **({} if self.examples is None else {"examples": True}),
        }

    def _tensors(self) -> dict[str, Tensor]:
        return {
            **({} if self.examples is None else _example_tensors(self.examples)),
            "vectors": self.vectors,
            "readings": self.readings,
            "mean": self.mean,
            "scale": self.scale,
            "probe_weights": self.probe_weights,
            "probe_biases": self.probe_biases,
            "safe_means": self.safe_means,
            "unsafe_means": self.unsafe_means,
            "spread": self.spread,
            "anchor_activations": rounded(self.anchor_activations).to(torch.float8_e4m3fn),
            "anchors": pack_text(self.anchors),
        }


_EXAMPLES = ("unsafe_examples", "example_weights", "hard_anchors", "passages")


def _example_tensors(examples: GateExamples) -> dict[str, Tensor]:
    tensors = (
        rounded(examples.unsafe).to(torch.float8_e4m3fn),
        examples.weights,
        examples.hard.to(torch.uint8),
        pack_text(examples.passages),
    )
    return dict(zip(_EXAMPLES, tensors, strict=True))


def _parse_examples(tensors: Mapping[str, Tensor], width: int, anchors: int) -> GateExamples:
    unsafe = checks.take(tensors, "unsafe_examples", (None, width), torch.float8_e4m3fn)
    weights = checks.take(tensors, "example_weights", (len(unsafe),), torch.float32)
    hard = checks.take(tensors, "hard_anchors", (anchors,), torch.uint8)
    passages = checks.take_text(tensors, "passages")
    if not bool((weights >= 0).all()) or not float(weights.sum()) > 0 or not bool(torch.isfinite(weights).all()):
        raise FileFormatError("The weights of the examples should be 0 or more, and some above 0. Make or get the file again.")
    return GateExamples(unsafe.half(), weights, hard.bool(), _unpacked(passages))


def _unpacked(passages: Tensor) -> tuple[str, ...]:
    return unpack_text(passages) if len(passages) else ()


def rounded(standardised: Tensor) -> Tensor:
    """Round activations z to 8-bit floats (E4M3, to about 3 %, at most 448) as float16: half the file, and the same map."""
    return standardised.float().clamp(-448, 448).to(torch.float8_e4m3fn).half()


def pack_text(lines: tuple[str, ...]) -> Tensor:
    """Return UTF-8 bytes of newline-separated lines as a uint8 tensor, which safetensors can carry."""
    text = "\n".join(lines).encode()
    return torch.frombuffer(bytearray(text), dtype=torch.uint8) if text else torch.zeros(0, dtype=torch.uint8)


def unpack_text(packed: Tensor) -> tuple[str, ...]:
    """Return the lines `pack_text` packed; raises FileFormatError when they are not UTF-8, or absurdly many or long."""
    data = packed.numpy().tobytes() if len(packed) <= MAX_TEXT_BYTES else b""
    if len(packed) > MAX_TEXT_BYTES or data.count(b"\n") >= MAX_LINES:
        raise FileFormatError(
            f"The prompts in it are more than {MAX_LINES:,}, or take more than {MAX_TEXT_BYTES:,} bytes. Make or get the file "
            "again."
        )
    try:
        return tuple(data.decode().split("\n"))
    except UnicodeDecodeError as error:
        raise FileFormatError("The prompts in it are not UTF-8 text. Make or get the file again.") from error
