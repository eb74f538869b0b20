"""Write docs/templates.md: what `safety-steer add` does with ComfyUI's official workflow templates, family by family.

`python -m tools.docs.write_templates` reads the package comfyui-workflow-templates-json, which the tests need too, or the
folder that SAFETY_STEER_TEMPLATES names.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from safety_steer.workflow import add
from safety_steer.workflow.graph import Document
from safety_steer.workflow.plan import LEFT, STEER, Verdict
from safety_steer.workflow.trace import Walker

ROOT = Path(__file__).parents[2]
PACKAGE = "comfyui-workflow-templates-json"
MODELS = ("UNETLoader", "CheckpointLoaderSimple", "UnetLoaderGGUF", "ImageOnlyCheckpointLoader")
FAMILIES = (
    ("marigold", "Marigold"),
    ("minimax_h3", "MiniMax H3"), ("fasth3", "MiniMax H3"), ("minimax", "MiniMax Music"), ("hunyuan3d", "Hunyuan3D"),
    ("hunyuan_3d", "Hunyuan3D"), ("hunyuan", "HunyuanVideo"), ("capybara", "HunyuanVideo"), ("wan", "Wan"), ("ltx", "LTX"),
    ("qwen", "Qwen-Image"), ("firered", "Qwen-Image"), ("z_image", "Z-Image"), ("z-image", "Z-Image"), ("flux3", "Flux.3"),
    ("flux-3", "Flux.3"), ("flux2", "Flux.2"), ("flux-2", "Flux.2"), ("lotus", "Lotus"), ("chroma", "Chroma"),
    ("flux", "Flux.1"), ("uso", "Flux.1"), ("ace_step_v1_3.5b", "ACE-Step 1"),
    ("ace_step_1.5", "ACE-Step 1.5"), ("acestep_v1.5", "ACE-Step 1.5"), ("ace_step", "ACE-Step"), ("acestep", "ACE-Step"),
    ("hidream_o1", "HiDream-O1"),
    ("sd_xl", "SDXL"), ("sdxl", "SDXL"),
    ("sd3", "Stable Diffusion 3.5"), ("stable_audio", "Stable Audio"), ("stable-audio", "Stable Audio"), ("svd", "SVD"),
    ("hidream", "HiDream"), ("moss", "MOSS"), ("anima", "Anima"), ("boogu", "Boogu"),
    ("mage_flow", "Mage-Flow"), ("mageflow", "Mage-Flow"), ("mage-flow", "Mage-Flow"),
    ("kandinsky", "Kandinsky 5"), ("krea2", "Krea 2"), ("seedvr2", "SeedVR2"), ("pixal3d", "Pixal3D, Trellis"),
    ("trellis", "Pixal3D, Trellis"), ("yue2", "YuE 2"), ("ernie", "ERNIE-Image"), ("fibo", "FIBO"), ("ideogram", "Ideogram"),
    ("lens", "Lens"), ("longcat", "LongCat"), ("ming", "Ming"), ("omnigen2", "OmniGen2"), ("triposplat", "TripoSplat"),
    ("joy", "JoyAI"), ("netayume", "Lumina 2"), ("newbie", "NewBie"), ("ovis", "Ovis-Image"), ("pixeldit", "PixelDiT"),
    ("void", "VOID"), ("dreamshaper", "Stable Diffusion 1.5"), ("v1-5", "Stable Diffusion 1.5"),
)  # fmt: skip
# What running a workflow shows and looking at it does not.
NOTES = {
    "HiDream-O1": "its model reads token ids. Align Direction stops with a message that says so, and nothing is steered.",
    "ACE-Step 1.5": "only partly reached. The caption is steered; the sounds that its language model samples for the same "
    "caption (`audio_codes`) and the lyrics stay as they are, and the node says so.",
    "Anima": "only partly reached. The states of Qwen3 are steered; the T5 token ids of the same prompt (`t5xxl_ids`) stay as "
    "they are, and the node says so.",
}
HEAD = """# Workflow templates

What `safety-steer add` does with the workflows that ComfyUI offers in its own template browser ({source}):
{count} workflows, of which {local} sample on your own machine. The others call a service over the network or do not generate,
and are left as they are.

- **workflows**: those with a sampler of this family. A family is told by the names of the model files.
- **samplers**: samplers and guiders in them, one in a subgraph counted once.
- **steered**: those that get Apply Safety Steer before them, with a direction fitted to the CLIP of their prompt.
- **left alone**: the others, and where their conditioning comes from instead of a text prompt.

`tests/workflow/test_templates.py` holds every result to this: links, ids and counters agree, no new node lies on another, a
second run changes nothing, and `--remove` gives back the original in every key. How each family's text is steered is in
[families.md](families.md).

"""


def main() -> None:
    """Run over all templates and write the table."""
    rows: dict[str, dict[str, Any]] = defaultdict(lambda: {"files": set(), "samplers": 0, "steered": 0, "left": Counter()})
    count, local = 0, 0
    for name, data in _templates():
        verdicts = add(data).verdicts
        count, local = count + 1, local + bool(verdicts)
        for verdict in verdicts:
            row = rows[_family(data, name, verdict)]
            row["files"].add(name)
            row["samplers"] += 1
            row["steered"] += verdict.state == STEER
            if verdict.state == LEFT:
                row["left"][_source(verdict)] += 1
    lines = ["| family | workflows | samplers | steered | left alone |", "| --- | ---: | ---: | ---: | --- |"]
    for family, row in sorted(rows.items(), key=lambda item: (-len(item[1]["files"]), item[0])):
        left = "; ".join(f"{number}: {source}" for source, number in row["left"].most_common())
        lines.append(f"| {family} | {len(row['files'])} | {row['samplers']} | {row['steered']} | {left} |")
    total = [sum(row[key] for row in rows.values()) for key in ("samplers", "steered")]
    lines.append(f"| **all** | **{local}** | **{total[0]}** | **{total[1]}** | **{total[0] - total[1]}** |")
    lines += ["", *(f"- **{family}**: {note}" for family, note in NOTES.items() if family in rows)]
    head = HEAD.format(source=_named(), count=count, local=local)
    (ROOT / "docs" / "templates.md").write_text(head + "\n".join(lines) + "\n")


def _templates() -> Iterator[tuple[str, Any]]:
    named = os.environ.get("SAFETY_STEER_TEMPLATES")
    found = None if named else importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if not named and (found is None or found.origin is None):
        raise SystemExit(f"Install {PACKAGE}, or name a folder of workflows: SAFETY_STEER_TEMPLATES=FOLDER")
    folder = Path(named) if named else Path(str(found and found.origin)).parent / "templates"
    for path in sorted(folder.glob("*.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(data, dict) and "nodes" in data:
            yield path.name, data


def _named() -> str:
    try:
        return f"`{PACKAGE}` {version(PACKAGE)}"
    except PackageNotFoundError:
        return f"`{PACKAGE}`"


def _family(data: Any, name: str, verdict: Verdict) -> str:
    """Name a sampler's family by the model files its model wire comes from, else by the name of the workflow."""
    document, sampler = Document(data), verdict.sampler
    # The verdict's own graph has been changed: the wire is looked up by ids in the workflow as it was.
    graph = document.graphs[sampler.graph.key]
    wire = graph.into(graph.nodes[sampler.node["id"]], sampler.socket(sampler.models[0])["name"])
    for _, node in Walker(document, live=False).upstream(graph, wire, "MODEL") if wire else ():
        values = node.get("widgets_values")
        if node["type"] in MODELS and isinstance(values, list) and values and (family := _match(str(values[0]))):
            return family
    return _match(name) or "others"


def _match(text: str) -> str | None:
    return next((family for word, family in FAMILIES if word in text.lower()), None)


def _source(verdict: Verdict) -> str:
    """Shorten a reason to the nodes it names."""
    _, _, nodes = verdict.reason.partition("comes from ")
    return ", ".join(f"`{node}`" for node in nodes.split(", ")) if nodes else verdict.reason


if __name__ == "__main__":
    main()
