"""Which layer of a text encoder a direction is aligned to."""

from __future__ import annotations

from ..directions.aligned import AlignedDirection
from ..errors import DataError
from ..extraction.text_model import TextModel

LAYER = "layer"
"""The setting of an aligned direction that says which layer of its encoder it belongs to."""


def target_layer(encoder: TextModel, layer: str) -> int:
    """Return the layer number for "auto", "last" or a number; raises DataError for anything else.

    A text encoder conditions with its last state. In causal models "auto" takes the state three fifths up, where
    meaning is most readable; give the number when the generator uses another one.
    """
    last = encoder.last_layer
    if layer == "auto":
        return round(last * 0.6) if encoder.causal else last
    if layer == "last":
        return last
    if not layer.isdecimal() or int(layer) > last:
        raise DataError(f"Expected layer auto, last or 0 to {last}, but got '{layer}'.")
    return int(layer)


def stored_layer(direction: AlignedDirection, model: TextModel) -> int:
    """Return the layer an aligned direction belongs to; raises DataError for one that `safety-steer align` has not made.

    Files without that setting, made before there was one, say it in the name of their encoder alone.
    """
    layer = str(direction.settings.get(LAYER, direction.encoder.rpartition("layer ")[2]))
    if "cross_attn" not in direction.spaces or not layer.isdecimal():
        raise DataError(
            f"'{direction.encoder}' was aligned inside ComfyUI; `score` needs a direction aligned by `safety-steer align`."
        )
    return target_layer(model, layer)
