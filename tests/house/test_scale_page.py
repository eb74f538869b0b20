"""docs/scale.md says what results/scale.json and results/scale_drawing.json hold."""

from __future__ import annotations

from tools.docs import write_scale


def test_the_page_has_the_figures_of_the_run() -> None:
    assert write_scale.PAGE.read_text(encoding="utf-8") == write_scale.page(), "Write it anew: python -m tools.docs.write_scale"
