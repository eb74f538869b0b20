"""Write docs/families.md from what the test runs found: `python benchmarks/write_families.py`.

A run of tests/comfyui/test_families.py with SAFETY_STEER_FAMILIES=results leaves results/families-VERSION.json.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
NAMES = {
    "sd15": "Stable Diffusion 1.5",
    "sd2": "Stable Diffusion 2",
    "sdxl": "SDXL",
    "sdxl_refiner": "SDXL refiner",
    "sd3": "Stable Diffusion 3, 3.5",
    "flux": "Flux.1",
    "chroma": "Chroma",
    "ovis": "Ovis-Image",
    "flux2": "Flux.2 dev",
    "auraflow": "AuraFlow",
    "pixart": "PixArt",
    "hunyuan_dit": "HunyuanDiT",
    "hidream": "HiDream-I1",
    "lumina2": "Lumina 2",
    "newbie": "NewBie",
    "z_image": "Z-Image",
    "omnigen2": "OmniGen2",
    "qwen_image": "Qwen-Image",
    "hunyuan_image": "HunyuanImage 2.1",
    "hunyuan_video": "HunyuanVideo 1.0",
    "hunyuan_video_15": "HunyuanVideo 1.5",
    "kandinsky5": "Kandinsky 5",
    "cosmos": "Cosmos 1",
    "cosmos_predict2": "Cosmos Predict2",
    "wan": "Wan 2.1, 2.2 text to video",
    "wan_i2v": "Wan image to video",
    "wan_vace": "Wan VACE",
    "wan_camera": "Wan camera",
    "wan_s2v": "Wan speech to video",
    "wan_animate": "Wan Animate",
    "ltxv": "LTX-Video 0.9",
    "ltxav": "LTX-2",
    "mochi": "Mochi",
    "stable_audio": "Stable Audio",
    "ace": "ACE-Step",
    "stable_cascade": "Stable Cascade (stage C)",
}
HEAD = """# Model families

What happens when Apply Safety Steer is put on the model wire of each family. Made by the tests
(`tests/comfyui/test_families.py`), which build ComfyUI's own text encoders and diffusion models with small random weights,
align the bundled direction to them from 64 harmless prompts and sample two steps. They show that the right tensors are
steered, all of them, and nothing else. How well a large model of a family follows is not shown: no weights of one were at
hand.

- **text spaces**: where the family's text lies. Each is aligned and steered apart; what is left alone, the node names.
- **conditioning** (the default `site`): the sample is bit for bit that of conditioning steered by the library, strength 0
  is bit for bit the unsteered sample, and negative prompt, masks, padding and every other key are untouched.
- **cross-attention**: with constant strength the same bits as the other site; or refused, because the family's layers see
  another text than the conditioning, which the direction is aligned to.

"""


def main() -> None:
    """Join the runs of all versions into one table."""
    runs = {
        path.stem.removeprefix("families-"): json.loads(path.read_text()) for path in (ROOT / "results").glob("families-*.json")
    }
    versions = sorted(runs, key=lambda version: [int(part) for part in version.split(".")])
    lines = [f"| family | {' | '.join(versions)} | text spaces | conditioning | cross-attention |"]
    lines.append("|" + " --- |" * (len(versions) + 4))
    for key, name in NAMES.items():
        rows = {version: run[key] for version, run in runs.items() if key in run}
        if rows:
            found = rows[max(rows, key=versions.index)]
            seen = " | ".join("yes" if version in rows else "not in it" for version in versions)
            cells = [_spaces(found["spaces"]), found["conditioning"], found["cross-attention"]]
            lines.append(f"| {name} | {seen} | {' | '.join(cells)} |")
    (ROOT / "docs" / "families.md").write_text(HEAD + "\n".join(lines) + "\n")


def _spaces(spaces: dict[str, Any]) -> str:
    """Name spaces, layers of one tensor together."""
    names = [f"`{name}`" for name in spaces if "/layer_" not in name]
    layered = sorted({name.split("/")[0] for name in spaces if "/layer_" in name})
    return ", ".join([*names, *(f"`{key}`, every layer" for key in layered)])


if __name__ == "__main__":
    main()
