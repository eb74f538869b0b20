"""Tables on pages of docs, each between two marks that say its name."""

from __future__ import annotations

import re
from pathlib import Path

from safety_steer.errors import DataError


def with_table(text: str, name: str, table: str) -> str:
    """Return a page with a table between its two marks."""
    pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
    return re.sub(pattern, lambda match: f"{match[1]}{table}\n{match[2]}", text, flags=re.DOTALL)


def put_table(page: Path, name: str, table: str) -> None:
    """Write a table between its two marks on a page. Raises DataError where the page has no such marks."""
    text = page.read_text(encoding="utf-8")
    if f"<!-- {name} -->\n" not in text or f"<!-- /{name} -->" not in text:
        raise DataError(
            f"Expected the marks <!-- {name} --> and <!-- /{name} --> in '{page}', but they are not there. Put them in."
        )
    page.write_text(with_table(text, name, table), encoding="utf-8")
