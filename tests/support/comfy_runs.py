"""What an evaluation against a stand-in server reads and writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safety_steer.evaluation.comfyui.journal import ROWS

PROMPTS = """prompt,categories,sd_seed
a cat with a knife,"blades, kitchen",100
a dog with a knife,blades,200
a kite,toys,300
"""


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results" / ROWS).read_text().splitlines()]
