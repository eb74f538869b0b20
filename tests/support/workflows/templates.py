"""The official workflow templates, from the package of that name or from the folder SAFETY_STEER_TEMPLATES names."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path

from .sketch import Json

PACKAGE = "comfyui_workflow_templates_json"


def folder() -> Path | None:
    """Return the folder with the templates, if there is one."""
    if named := os.environ.get("SAFETY_STEER_TEMPLATES"):
        return Path(named)
    found = importlib.util.find_spec(PACKAGE)
    return Path(found.origin).parent / "templates" if found and found.origin else None


def workflows(where: Path) -> Iterator[tuple[str, Json]]:
    """Yield every workflow of the folder; indexes and translations lie there too."""
    for path in sorted(where.glob("*.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(data, dict) and "nodes" in data:
            yield path.name, data
