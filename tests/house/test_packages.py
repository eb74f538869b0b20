"""An installed Safety Steer has every package that lies here: pyproject.toml lists them by name."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DATA = {"safety_steer.assets", "safety_steer.bundled_files"}


def test_every_package_is_listed() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    [block] = re.findall(r"^\[tool\.setuptools\]\npackages = \[\n(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    listed = set(re.findall(r'"([\w.]+)"', block))
    here = {".".join(file.parent.relative_to(ROOT).parts) for file in (ROOT / "safety_steer").rglob("__init__.py")}
    assert listed == here | DATA
