"""Write the example workflows from their descriptions in tools/workflows/examples: `python -m tools.workflows.write_examples`.

Do this again after a node got another input. Their thumbnails are drawn by draw_thumbnails.py.
"""

from __future__ import annotations

from pathlib import Path

from .examples import WORKFLOWS, draw

FOLDER = Path(__file__).parents[2] / "example_workflows"


def main() -> None:
    """Write every example."""
    for name in WORKFLOWS:
        path = FOLDER / f"{name}.json"
        path.write_text(draw(name).text(), encoding="utf-8")
        print(path.name)


if __name__ == "__main__":
    main()
