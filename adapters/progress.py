"""Progress of a call, as the library tells it, on a bar of ComfyUI that several calls share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfy.utils import ProgressBar

    from ..safety_steer.extraction.text_model import Progress


def moving(bar: ProgressBar) -> Progress:
    """Return a callback for one call: told how many are done, of how many, it moves the bar by what is new."""
    before = 0

    def progress(done: int, _: int) -> None:
        nonlocal before
        bar.update(done - before)
        before = done

    return progress
