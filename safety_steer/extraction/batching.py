"""Which prompts go through a text model together: those of like length, in batches of few shapes that suit the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch

BATCH_TOKENS = 4096  # by hand; of a padded batch
CPU_BATCH_TOKENS = 360  # by hand; more leave the caches, and take longer per token and several times the memory
BETWEEN = (14, 22, 27, 33)  # by hand; where most prompts are, and others would pad them by a fifth
WIDTHS = sorted({width for width in range(1, CPU_BATCH_TOKENS + 1) if 2 * CPU_BATCH_TOKENS % width == 0}.union(BETWEEN))


def suited_tokens(device: torch.device, rounded: bool = False) -> int:
    """Return how many tokens a padded batch should have on a device: on a processor twice as many where they are `rounded`."""
    if device.type != "cpu":
        return BATCH_TOKENS
    return 2 * CPU_BATCH_TOKENS if rounded else CPU_BATCH_TOKENS


def batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Group row numbers by similar length, the longest first, so that no padded batch exceeds `batch_tokens` tokens."""
    groups: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda index: lengths[index], reverse=True):
        if groups and len(groups[-1]) < batch_tokens // padded(lengths[groups[-1][0]]):
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def padded(length: int) -> int:
    """Return the width of a batch whose longest prompt has so many tokens: mostly one that divides a processor's budget.

    oneDNN keeps what it has prepared for every shape that it has met, so that most full batches should have as many tokens.
    """
    return next((width for width in WIDTHS if width >= length), length)
