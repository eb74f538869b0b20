"""Write docs/families.md from what the test runs found: `python -m tools.docs.write_families`.

A run of tests/comfyui/test_families.py with SAFETY_STEER_FAMILIES=results leaves results/families-VERSION.json.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NAMES = {
    "sd15": "Stable Diffusion 1.5",
    "sd2": "Stable Diffusion 2",
    "sd15_instructpix2pix": "Stable Diffusion 1.5 instruct-pix2pix",
    "sd21_unclip_l": "Stable Diffusion 2.1 unCLIP L",
    "sd21_unclip_h": "Stable Diffusion 2.1 unCLIP H",
    "sd_x4_upscaler": "Stable Diffusion x4 upscaler",
    "lotus": "Lotus",
    "sdxl": "SDXL",
    "sdxl_refiner": "SDXL refiner",
    "sdxl_instructpix2pix": "SDXL instruct-pix2pix",
    "ssd_1b": "SSD-1B",
    "segmind_vega": "Segmind Vega",
    "koala_700m": "KOALA 700M",
    "koala_1b": "KOALA 1B",
    "sd3": "Stable Diffusion 3, 3.5",
    "flux": "Flux.1",
    "flux_inpaint": "Flux.1 inpainting",
    "chroma": "Chroma",
    "chroma_radiance": "Chroma Radiance",
    "ovis": "Ovis-Image",
    "flux2": "Flux.2 dev",
    "flux2_klein": "Flux.2 Klein with Qwen3 4B",
    "flux2_klein_8b": "Flux.2 Klein with Qwen3 8B",
    "longcat_image": "LongCat-Image",
    "auraflow": "AuraFlow",
    "pixart": "PixArt Alpha",
    "pixart_sigma": "PixArt Sigma",
    "hunyuan_dit": "HunyuanDiT 1.1, 1.2",
    "hunyuan_dit_10": "HunyuanDiT 1.0",
    "hidream": "HiDream-I1",
    "hidream_o1": "HiDream-O1",
    "lumina2": "Lumina 2",
    "newbie": "NewBie",
    "z_image": "Z-Image",
    "z_image_pixel": "Z-Image pixel space",
    "omnigen2": "OmniGen2",
    "boogu": "Boogu",
    "qwen_image": "Qwen-Image",
    "mage_flow": "Mage-Flow",
    "joyimage": "JoyImage",
    "ernie_image": "ERNIE-Image",
    "krea2": "Krea 2",
    "ideogram4": "Ideogram 4",
    "ideogram4_vl": "Ideogram 4 with Qwen3-VL",
    "lens": "Lens",
    "pixeldit": "PixelDiT",
    "pid": "PiD",
    "hunyuan_image": "HunyuanImage 2.1",
    "hunyuan_image_refiner": "HunyuanImage 2.1 refiner",
    "hunyuan_video": "HunyuanVideo 1.0",
    "hunyuan_video_i2v": "HunyuanVideo 1.0 image to video",
    "hunyuan_video_skyreels": "SkyReels image to video",
    "hunyuan_video_15": "HunyuanVideo 1.5",
    "hunyuan_video_15_sr": "HunyuanVideo 1.5 super-resolution",
    "kandinsky5": "Kandinsky 5",
    "kandinsky5_image": "Kandinsky 5 Image",
    "cosmos": "Cosmos 1",
    "cosmos_i2v": "Cosmos 1 image to video",
    "cosmos_predict2": "Cosmos Predict2",
    "cosmos_predict2_i2v": "Cosmos Predict2 image to video",
    "anima": "Anima",
    "wan": "Wan 2.1, 2.2 text to video",
    "wan_22_5b": "Wan 2.2 5B",
    "wan_i2v": "Wan image to video",
    "wan_vace": "Wan VACE",
    "wan_camera": "Wan camera",
    "wan_22_camera": "Wan 2.2 camera",
    "wan_fun_control": "Wan Fun Control",
    "wan_humo": "Wan HuMo",
    "wan_s2v": "Wan speech to video",
    "wan_animate": "Wan Animate",
    "wan_animate2": "Wan Animate 2",
    "wan_bernini": "Wan with Bernini's references",
    "wan_causal": "Wan causal, frame by frame",
    "wan_flow_rvs": "Wan FlowRVS",
    "wan_scail": "Wan SCAIL",
    "wan_scail2": "Wan SCAIL-2",
    "wan_dancer": "WanDancer",
    "ltxv": "LTX-Video 0.9",
    "ltxav": "LTX-2",
    "ltxav_23": "LTX-2.3",
    "ltxav_gemma4": "LTX-2.3 with Gemma 4",
    "mochi": "Mochi",
    "cogvideox": "CogVideoX text to video",
    "cogvideox_i2v": "CogVideoX image to video",
    "cogvideox_inpaint": "CogVideoX inpainting",
    "minimax_h3": "MiniMax H3",
    "minimax_music3": "MiniMax Music 3",
    "stable_audio": "Stable Audio",
    "stable_audio_3": "Stable Audio 3",
    "ace": "ACE-Step",
    "ace_15": "ACE-Step 1.5",
    "stable_cascade": "Stable Cascade (stage C)",
    "stable_cascade_b": "Stable Cascade (stage B)",
}
# Rows that are younger than the runs of some versions which have the family.
NOT_RUN = {"pixart_sigma": ("0.3.64", "0.8.0"), "hunyuan_dit_10": ("0.3.64", "0.8.0")}
HEAD = """# Model families

What happens when Apply Safety Steer is put on the model wire of each family, by version of ComfyUI. Made by the tests
(`tests/comfyui/test_families.py`), which build ComfyUI's own text encoders and diffusion models with small random weights,
align the bundled direction to them from 64 harmless prompts and sample two steps. They show that the right tensors are
steered, all of them, and nothing else. How well a large model of a family follows is not shown: no weights of one were at
hand.

- **text spaces**: where the family's text lies. Each is aligned and steered apart; what is left alone, the node names.
- **conditioning** (the default `site`): the sample is bit for bit that of conditioning steered by the library, strength 0
  is bit for bit the unsteered sample, and negative prompt, masks, zero rows and every other key are untouched. *Partly* where
  the model reads the prompt in one more place, which stays as it is: found by putting each part of another prompt's
  conditioning into this one's, and looking whether the sample changes.
- **cross-attention**: with constant strength the same bits as the other site; or refused, because the family's layers see
  another text than the conditioning, which the direction is aligned to.

Where a version differs from the one before it, the cell says from which version on. *Not run*: the version has the family, but
the row is younger than the run.

"""
TAIL = """
## Families without a text space

HiDream-O1's conditioning is token ids: the model encodes them itself at every step, and there are no states to align to.
That of MiniMax Music 3 is sound, up to 9,000 frames of it, which its encoder generates for the prompt and which holds no row
of it. Align Direction and Extract Safety Direction refuse these encoders, Apply Safety Steer their conditioning, each with an
error that says so.

## Rows that a mask hides

Some encoders pad a prompt and mask the padding, but their models read the padding too (Flux.2 Klein, LongCat-Image, PixelDiT
and PiD all of it, HunyuanDiT that of mT5, for one pooled vector). Padding stands after the prompt in these encoders and has
heard it. So rows that a mask hides are steered with their prompt, and only then, unless they are zero: the gate hears the
words alone. Models that heed their mask give the same pictures either way.

## Prompts that are carried twice

ComfyUI's node for Wan Animate 2 copies the prompt, or one of its own for the pose, into `cross_attn_pose`, and the positive's
into the negative too, since the model reads it once for both. It is steered like the prompt wherever it is the positive's. Put
Apply Safety Steer (Conditioning) before that node: behind it, the negative keeps the text as it was.

## Families without a row

| family | what happens |
| --- | --- |
| SAM 3, SAM 3.1 | Its text names what to find in a picture and goes to `SAM3_Detect`, never to a sampler. |

No text reaches these, whose conditioning is pictures or constants: SeedVR2, TripoSplat, Trellis 2, Hunyuan3D, Stable Video
Diffusion, SV3D, Zero123, DepthAnything 3, RT-DETR. TripoSplat and Trellis 2 have rows 1024 wide in `cross_attn`, as wide as the
text of some encoders: leave Apply Safety Steer off their model wires.
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
        rows = {version: runs[version][key] for version in versions if key in runs[version]}
        if rows:
            seen = " | ".join(_seen(key, version, rows) for version in versions)
            cells = (
                _since({version: made(row) for version, row in rows.items()}) for made in (_spaces, _conditioning, _layers)
            )
            lines.append(f"| {name} | {seen} | {' | '.join(cells)} |")
    (ROOT / "docs" / "families.md").write_text(HEAD + "\n".join(lines) + "\n" + TAIL)


def _seen(key: str, version: str, rows: Mapping[str, Any]) -> str:
    """Say whether a family was run with a version, or why not."""
    if version in rows:
        return "yes"
    return "not run" if version in NOT_RUN.get(key, ()) else "not in it"


def _since(cells: dict[str, str]) -> str:
    """Write the cell of the oldest version, and every later one that differs from the one before it."""
    said: list[str] = []
    last = None
    for version, cell in cells.items():
        if cell != last:
            said.append(f"from {version}: {cell}" if said else cell)
        last = cell
    return "; ".join(said)


def _spaces(row: dict[str, Any]) -> str:
    """Name spaces, layers of one tensor together."""
    names = [name for name in row["spaces"] if "/layer_" not in name]
    layered = sorted({name.split("/")[0] for name in row["spaces"] if "/layer_" in name})
    said = [f"`{name}` (not read by the model)" if name in row["unread"] else f"`{name}`" for name in names]
    return ", ".join([*said, *(f"`{key}`, every layer" for key in layered)]) or "none"


def _conditioning(row: dict[str, Any]) -> str:
    left = [name for name, moved in row["besides"].items() if not moved]
    return f"partly: not {', '.join(map(_code, left))}" if left else row["conditioning"]


def _code(name: str) -> str:
    """Mark a key as code, with or without words before it."""
    words = name.split(" ")
    return " ".join([*words[:-1], f"`{words[-1]}`"])


def _layers(row: dict[str, Any]) -> str:
    layers: str = row["cross-attention"]
    return layers


if __name__ == "__main__":
    main()
