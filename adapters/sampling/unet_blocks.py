"""The names of a U-Net's blocks, as people write them: "middle, output 3-5"."""

from __future__ import annotations

import re

from ...safety_steer.errors import DataError

Blocks = tuple[tuple[str, int], ...]


def read(text: str) -> Blocks | None:
    """Read "middle, output 3-5" as U-Net blocks (part, number), number -1 for all of a part; None when nothing is said."""
    found: list[tuple[str, int]] = []
    for item in filter(None, (part.strip().lower() for part in text.split(","))):
        match = re.fullmatch(r"(input|middle|output)(?:\s+(\d{1,3})(?:\s*-\s*(\d{1,3}))?)?", item)
        if match is None:
            raise DataError(
                f"Expected blocks like 'middle, output 3-5', but got '{item[:40]}'. Change blocks on Apply Safety Steer, or "
                "leave it empty for all."
            )
        part, first, last = match.groups()
        numbers = range(int(first), int(last or first) + 1) if first else [-1]
        found += [(part, number) for number in numbers]
    return tuple(found) or None


def holds(blocks: Blocks, part: str, number: int) -> bool:
    """Say whether a block is among those named."""
    return (part, -1) in blocks or (part, number) in blocks
