"""docs/measurements.md says what results/first_run.json holds."""

from __future__ import annotations

from tools.docs import write_first_run


def test_the_page_says_what_was_measured() -> None:
    written = write_first_run.page()
    assert write_first_run.PAGE.read_text(encoding="utf-8") == written, "Write it anew: python -m tools.docs.write_first_run"
    assert written.count("<!-- first_run -->") == 1
    assert "x) |" in written
