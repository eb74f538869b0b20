"""Leaves what a run of the packs found, as the documents are written from it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = "packs.json"


def leave(found: Mapping[str, Mapping[str, Any]], commits: Mapping[str, str], comfyui: str) -> None:
    """Write which cases held, or why a pack was not loaded, into the folder SAFETY_STEER_PACKS_FOUND.

    What the file there says of packs that were not run stays.
    """
    folder = os.environ.get("SAFETY_STEER_PACKS_FOUND")
    if folder and found:
        path = Path(folder) / NAME
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        now = {pack: {"comfyui": comfyui, "commit": commits[pack], **one} for pack, one in found.items()}
        path.write_text(json.dumps({**before, **now}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
