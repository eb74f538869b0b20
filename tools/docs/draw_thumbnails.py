"""Draw the thumbnails of the example workflows, and the README's picture of one, in a running ComfyUI that has this pack.

python -m tools.docs.draw_thumbnails URL PLAYWRIGHT [--only NAME ...]

URL is the server's, PLAYWRIGHT a folder with node's playwright-core; needs node and Chromium. Run it with ComfyUI's own Python,
which reads videos. The demo's thumbnails are of the pictures that its workflows make there; the others show the graph itself,
since no checkpoint is at hand: let empty files lie in ComfyUI's model folders under the names that the workflows ask for, and
nothing is drawn as missing.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import subprocess
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from safety_steer.reports.canvas import THEMES
from tools.workflows.examples.demos import LET_THROUGH, REFUSED
from tools.workflows.examples.negation import AS_IT_IS, NEGATED

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "example_workflows"
SCRIPT = ROOT / "tools" / "browser" / "workflows.mjs"
README_EXAMPLE, README_PICTURE = "demo-text-to-image", ROOT / "docs" / "images" / "workflow.png"
SIZE, GAP, LABEL = (512, 320), 6, 28
GROUND, INK = (24, 26, 36), THEMES["dark"].ink
MAX_BYTES, WIDTH = 60_000, "1600"
WITHOUT, WITH = "Without steering", "With steering"
CAPTIONS = {
    "text-to-image": "Text to image, your checkpoint",
    "image-to-image": "Image to image, your checkpoint",
    "text-to-video": "Text to video, Wan 2.1",
    "image-to-video": "Image to video, Wan 2.1",
    "picture-to-video": "Image to video, the picture steered too",
    "two-model-video": "Text to video, Wan 2.2: two models",
    "refuse-unsafe-requests": "A prompt enhancer that refuses",
    "make-a-direction": "Make a direction of your own",
    "demo-image-to-image": "A prompt with a knife, drawn over a picture",
    "demo-picture-to-picture": "A picture in, new ones of its scene out",
    "demo-picture-to-video": "A picture in, a video of its scene out",
    "demo-category-mixing": "One prompt and seed, three Category Mixers",
}
Picture = Image.Image


def fetched(url: str, item: dict[str, str]) -> list[Picture]:
    """Return the pictures of a file that ComfyUI saved: one, or the frames of a video."""
    with urllib.request.urlopen(f"{url}/view?{urllib.parse.urlencode(item)}") as answer:
        data = io.BytesIO(answer.read())
    if item["filename"].endswith(".png"):
        return [Image.open(data).convert("RGB")]
    import av

    with av.open(data) as container:
        return [frame.to_image() for frame in container.decode(video=0)]


def rows(pictures: dict[str, list[Picture]]) -> Picture:
    """Lay out rows of four pictures, each under its label."""
    sheet, side = Image.new("RGB", SIZE, GROUND), (SIZE[0] - 5 * GAP) // 4
    for row, (label, found) in enumerate(pictures.items()):
        top = row * SIZE[1] // 2
        write(sheet, label, (SIZE[0] // 2, top + LABEL // 2 + 3))
        for column, picture in enumerate(found[:: max(1, len(found) // 4)][:4]):
            place = (GAP + column * (side + GAP), top + LABEL + 2)
            sheet.paste(picture.resize((side, side), Image.Resampling.NEAREST), place)
    return sheet


def columns(pictures: dict[str, list[Picture]], caption: str) -> Picture:
    """Lay out three pictures side by side, each under its label, over a caption."""
    sheet, side = Image.new("RGB", SIZE, GROUND), (SIZE[0] - 4 * GAP) // 3
    top = (SIZE[1] - side) // 2
    for column, (label, [picture]) in enumerate(pictures.items()):
        left = GAP + column * (side + GAP)
        write(sheet, label, (left + side // 2, top - LABEL // 2))
        sheet.paste(picture.resize((side, side), Image.Resampling.NEAREST), (left, top))
    write(sheet, caption, (SIZE[0] // 2, top + side + LABEL))
    return sheet


def graph(picture: Picture, steering: list[int], caption: str) -> Picture:
    """Lay out a part of a graph, as wide as its steering nodes, over a caption."""
    sheet = Image.new("RGB", SIZE, GROUND)
    left, top, width = steering
    shown = picture.convert("RGB").crop((left, top, left + width, top + width * (SIZE[1] - LABEL) // SIZE[0]))
    shown = shown.resize((SIZE[0], SIZE[1] - LABEL), Image.Resampling.LANCZOS)
    sheet.paste(ImageEnhance.Brightness(shown).enhance(1.3), (0, 0))
    write(sheet, caption, (SIZE[0] // 2, SIZE[1] - LABEL // 2))
    return sheet


def write(sheet: Picture, text: str, centre: tuple[int, int]) -> None:
    """Write a label."""
    ImageDraw.Draw(sheet).text(centre, text, fill=INK, font=ImageFont.load_default(18), anchor="mm")


def thumbnail(name: str, saved: dict[str, list[Picture]], drawn: Path, steering: list[int]) -> Picture:
    """Draw the thumbnail of one example."""
    if name in ("demo-image-to-image", "demo-picture-to-picture", "demo-picture-to-video"):
        titles = {"First picture": "First picture", "Without": WITHOUT, "With": WITH}
        return columns({title: saved[label][:1] for title, label in titles.items()}, CAPTIONS[name])
    if name == "demo-category-mixing":
        return columns(
            {title.split(":")[0]: found for title, found in saved.items() if found and "Report" not in title}, CAPTIONS[name]
        )
    if name == "demo-refuse-unsafe-prompt":
        return rows({title: saved[title] for title in (LET_THROUGH, REFUSED)})
    if name == "demo-negate-weights":
        return rows({title: saved[title] for title in (AS_IT_IS, NEGATED)})
    if name.startswith("demo-"):
        return rows({"Without Safety Steer": saved[WITHOUT], "With Safety Steer": saved[WITH]})
    return graph(Image.open(drawn), steering, CAPTIONS[name])


def save(picture: Picture, path: Path) -> None:
    """Save as the best JPEG that is small enough."""
    for quality in (92, 85, 75, 65, 50):
        picture.save(path, quality=quality, optimize=True)
        if path.stat().st_size <= MAX_BYTES:
            return


def main() -> None:
    """Run the demos, draw every graph, and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("playwright")
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    parser.add_argument("--only", nargs="+", default=sorted(path.stem for path in EXAMPLES.glob("*.json")))
    options = parser.parse_args()
    files = [str(EXAMPLES / f"{name}.json") for name in options.only]
    with tempfile.TemporaryDirectory() as folder:
        command = ["node", str(SCRIPT), options.chromium, options.playwright, options.url, folder, WIDTH, *files]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        for line in map(json.loads, lines):
            name, drawn = line["name"], Path(folder) / f"{line['name']}.png"
            saved = _pictures(options.url, line["saved"])
            save(thumbnail(name, saved, drawn, line["steering"]), EXAMPLES / f"{name}.jpg")
            print(f"{name}.jpg")
            if name == README_EXAMPLE:
                with Image.open(drawn) as picture:
                    picture.convert("RGB").save(README_PICTURE, optimize=True)
                print(README_PICTURE.name)


def _pictures(url: str, saved: dict[str, list[dict[str, Any]]]) -> dict[str, list[Picture]]:
    return {title: [one for item in items for one in fetched(url, item)] for title, items in saved.items()}


if __name__ == "__main__":
    main()
