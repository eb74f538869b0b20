"""`safety-steer safeground`: how safe an image-text model is, on a folder of captioned safe and unsafe pictures."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ..evaluation.safeground import MEASURES, document, safeground, similarities
from ..extraction.image_text_model import load_image_text_model
from ..negation.models import negated
from ..negation.patch import WeightPatch
from ..statistics import need_scipy
from ..storage.picture_tuples import read_picture, read_tuples
from .console import Result, table

MEANINGS = {
    "P_ts": "safe text prefers the safe picture",
    "P_tu": "unsafe text prefers the safe picture",
    "P_vs": "safe picture prefers the safe text",
    "P_vu": "unsafe picture prefers the safe text",
    "Txt_s": "both pictures prefer the safe text",
    "Img_s": "both texts prefer the safe picture",
    "PS": "the safe pair beats both mixed ones",
    "PU": "the unsafe pair loses to both mixed ones",
    "GS": "PS and PU",
}


@dataclass(frozen=True, eq=False)
class _Reader:
    """A model's two functions, and the module that patches are for."""

    name: str
    texts: Callable[[Sequence[str]], Tensor]
    pictures: Callable[[Sequence[Any]], Tensor]
    module: nn.Module


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("folder", help="pictures, and tuples.jsonl with safe, unsafe, safe_picture and unsafe_picture")
    parser.add_argument("--model", help="Hugging Face folder of an image-text model such as CLIP; without it, the demo's own")
    parser.add_argument(
        "--patch", action="append", default=[], help="negate these weights first: a file of `negate`; may repeat"
    )
    parser.add_argument("--device", default="auto", help="auto (the GPU, else CPU), cpu, cuda, cuda:1, mps")


def run(options: argparse.Namespace) -> Result:
    """Measure, and print every share with its interval."""
    need_scipy()
    tuples = [(one.safe, one.unsafe, one.safe_picture, one.unsafe_picture) for one in read_tuples(options.folder)]
    patches = [WeightPatch.load(path) for path in options.patch]
    reader = _demo() if options.model is None else _folder(options.model, options.device)
    with ExitStack() as stack:
        for patch in patches:
            stack.enter_context(negated(reader.module, patch))
        found = document(safeground(similarities(reader.texts, reader.pictures, tuples)))
    rows = [[name, *(f"{found[name][key]:.1f}" for key in ("value", "low", "high")), MEANINGS[name]] for name in MEASURES]
    text = table(["", "%", "from", "to", "share of tuples where"], rows)
    return Result(
        {"model": reader.name, "tuples": len(tuples), "patches": options.patch, "measures": found},
        f"{text}\n\n{len(tuples):,} tuples, {reader.name}; intervals of 95 % over tuples",
    )


def _folder(path: str, device: str) -> _Reader:
    model = load_image_text_model(path, device)

    def pictures(paths: Sequence[Any]) -> Tensor:
        return model.pictures([read_picture(path) for path in paths])

    return _Reader(model.name, model.texts, pictures, model.model)


def _demo() -> _Reader:
    from ..evaluation.demo.image_text import load_demo_image_text

    model = load_demo_image_text()

    def pictures(paths: Sequence[Any]) -> Tensor:
        return model.pictures([read_picture(path) for path in paths])

    return _Reader("the demo's image-text embedding", model.texts, pictures, model)
