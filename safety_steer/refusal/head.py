"""The refusal head: AutoSteer's W, the prober that switches it on, and their file.

The paper (arXiv 2507.13255) writes logits = H (E + eps alpha(s) E W)^T for the output head E (V, d). Since
H (E W)^T = (H W^T) E^T, that is the head's own answer to H + eps alpha(s) H W^T: nothing of the head's size is made again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from ..directions.prober import HIDDEN, Prober
from ..directions.source import ModelIdentity
from ..errors import DataError, FileFormatError, MismatchError
from ..storage import checks, container

KIND = "refusal_head"
ADVICE = "Make one with `safety-steer refuse train`."
MAX_STRENGTH = 10.0  # by hand
SAME_ROW = 0.9  # by hand; cosine below which an embedding row is another model's, however a file rounds its weights


@dataclass(frozen=True, eq=False)
class RefusalHead:
    """W (d, d) float32 with the eps and tau it was made for, and the prober that reads layer `layer` in front of that block.

    `refusal` is the sentence it learned, `system` the system message it was trained under ("" for the model's own).
    `tokens` (n,) and `rows` (n, d) are token numbers and their embeddings: by them the model is known again.
    """

    model: ModelIdentity
    layer: int
    prober: Prober
    steer: Tensor
    strength: float
    threshold: float
    refusal: str
    system: str
    tokens: Tensor
    rows: Tensor

    @property
    def width(self) -> int:
        """Width d of the model."""
        return self.model.width

    def check_model(self, width: int, depth: int, rows: Tensor) -> None:
        """Raise MismatchError unless a model of this width and depth, with `rows` (n, d) at `tokens`, is the one trained on."""
        if (width, depth) != (self.model.width, self.model.depth):
            raise MismatchError(
                f"This refusal file was made for {self.model.name} ({self.model.depth} blocks of width {self.model.width}), "
                f"but got a model with {depth} blocks of width {width}. Use that model, or train a file for this one."
            )
        likeness = cosine_similarity(rows.float().cpu(), self.rows.float(), dim=-1)
        if not bool((likeness >= SAME_ROW).all()):
            raise MismatchError(
                f"This refusal file was made for {self.model.name}, and this model of the same size has other embeddings "
                f"(cosine {float(likeness.min()):.2f}). Use that model, or train a file for this one."
            )

    def check_settings(self, strength: float, threshold: float | None = None) -> None:
        """Raise DataError for an eps or a tau out of range."""
        check_strength(strength)
        if threshold is not None and not 0 <= threshold <= 1:
            raise DataError(f"Expected a threshold from 0 to 1, but got {threshold:g}. Change the threshold.")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file in one step; raises FileFormatError like `container.write`."""
        document = {
            "kind": KIND,
            "schema": checks.SCHEMA_VERSION,
            "name": self.model.name,
            "architecture": self.model.architecture,
            "width": self.model.width,
            "depth": self.model.depth,
            "layer": self.layer,
            "strength": self.strength,
            "threshold": self.threshold,
            "refusal": self.refusal,
            "system": self.system,
        }
        tensors = {
            "steer": self.steer,
            "inner": self.prober.inner,
            "inner_bias": self.prober.inner_bias,
            "outer": self.prober.outer,
            "outer_bias": self.prober.outer_bias,
            "tokens": self.tokens,
            "rows": self.rows,
        }
        container.write(path, document, tensors)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> RefusalHead:
        """Read a file; raises FileFormatError for one that is damaged, of another kind or newer, or does not fit together."""
        document, tensors = container.read(path)
        checks.check_kind(document, KIND, ADVICE)
        checks.check_names(tensors, {"steer", "inner", "inner_bias", "outer", "outer_bias", "tokens", "rows"})
        width, depth, layer = (checks.field(document, key, int) for key in ("width", "depth", "layer"))
        if width < 1 or not 0 <= layer < depth:
            raise FileFormatError(
                f"A refusal file reads one of {depth} layers of its model, but this one says {layer}. {ADVICE}"
            )
        name, architecture = (checks.field(document, key, str) for key in ("name", "architecture"))
        real, whole = torch.float32, torch.int64
        prober = Prober(
            checks.take(tensors, "inner", (HIDDEN, width), real),
            checks.take(tensors, "inner_bias", (HIDDEN,), real),
            checks.take(tensors, "outer", (2, HIDDEN), real),
            checks.take(tensors, "outer_bias", (2,), real),
        )
        tokens = checks.take(tensors, "tokens", (None,), whole)
        if int(tokens.min()) < 0:
            raise FileFormatError(f"The refusal file names a token below 0. {ADVICE}")
        return cls(
            model=ModelIdentity(name=name, architecture=architecture, width=width, depth=depth),
            layer=layer,
            prober=prober,
            steer=checks.take(tensors, "steer", (width, width), real),
            strength=_between(document, "strength", MAX_STRENGTH),
            threshold=_between(document, "threshold", 1.0),
            refusal=checks.field(document, "refusal", str),
            system=checks.field(document, "system", str),
            tokens=tokens,
            rows=checks.take(tensors, "rows", (len(tokens), width), torch.float16),
        )


def check_strength(strength: float) -> None:
    """Raise DataError for an eps out of range."""
    if not 0 <= strength <= MAX_STRENGTH:
        raise DataError(f"Expected a strength from 0 to {MAX_STRENGTH:g}, but got {strength:g}. Change the strength.")


def _between(document: dict[str, object], key: str, most: float) -> float:
    value = checks.field(document, key, float)
    if not 0 <= value <= most:
        raise FileFormatError(f"Metadata '{key}' should be from 0 to {most:g}, but is {value:g}. {ADVICE}")
    return value
