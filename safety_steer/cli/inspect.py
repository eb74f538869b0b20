"""`safety-steer inspect`: what is in a direction file."""

from __future__ import annotations

import argparse
from typing import Any

from ..directions.aligned import AlignedDirection
from ..directions.any_direction import load_any
from ..directions.source import SafetyDirection
from .console import Result, table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("file", help="a direction or aligned direction (.safetensors)")


def run(options: argparse.Namespace) -> Result:
    """Read, check and describe a file of either kind."""
    direction = load_any(options.file)
    data = describe_aligned(direction) if isinstance(direction, AlignedDirection) else describe_source(direction)
    rows = [[key, _flat(value)] for key, value in data.items()]
    return Result(data, table(["", "value"], rows))


def describe_source(direction: SafetyDirection) -> dict[str, Any]:
    """Return the facts of a source direction."""
    return {
        "kind": "safety direction (align it to a text encoder before steering)",
        "source": direction.source.document(),
        "layers": list(direction.layers),
        "pooling": direction.pooling,
        "estimator": direction.estimator,
        "categories": list(direction.categories),
        "lengths": {name: round(float(v.norm()), 4) for name, v in zip(direction.categories, direction.vectors, strict=True)},
        "anchors": len(direction.anchors),
        "report": dict(direction.report),
        "hash": direction.content_hash,
    }


def describe_aligned(aligned: AlignedDirection) -> dict[str, Any]:
    """Return the facts of an aligned direction."""
    return {
        "kind": "aligned direction (ready to steer with)",
        "encoder": aligned.encoder,
        "source": aligned.source.document(),
        "direction": aligned.direction_hash,
        "categories": list(aligned.categories),
        "strengths": dict(aligned.strengths),
        "spaces": {name: space.width for name, space in aligned.spaces.items()},
        "settings": dict(aligned.settings),
        "report": dict(aligned.report),
        "hash": aligned.content_hash,
    }


def _flat(value: Any, depth: int = 0) -> str:
    """Write a JSON value on one line: short, not deep, and without control characters a stranger's file may hold."""
    if depth > 4:
        return "..."
    if isinstance(value, dict):
        return ", ".join(f"{_flat(str(key))} {_flat(item, depth + 1)}" for key, item in value.items())
    if isinstance(value, list):
        shown = ", ".join(_flat(item, depth + 1) for item in value[:12])
        return f"[{shown}{', ...' if len(value) > 12 else ''}]"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return text if text.isprintable() else ascii(text)
