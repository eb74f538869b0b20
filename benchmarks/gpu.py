"""Measure step times and alignment at full size on a GPU, with random weights of ComfyUI's own classes: under 8 minutes.

    COMFYUI_PATH=path/to/ComfyUI path/to/its/python -m benchmarks.gpu [--seconds 450] [-o results/gpu-CARD.json]

Generators: time and peak memory of sampling without steering, steered at the conditioning site and at the cross-attention site,
in turn. Encoders: Align Direction with the bundled direction against the encoder's own passes over the same prompts without
padding, at the fastest batch size. Each runs in a process of its own, so that memory is its own; one that does not fit, or for
which no time is left, is said to be so. --small runs it all in small sizes, also without a GPU: a check of this script.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests")]

from support.comfyui import running_comfyui  # noqa: E402  # isort: skip
import comfy.model_management  # noqa: E402
import torch  # noqa: E402
from support.families import clips  # noqa: E402
from support.families.configs import FAMILIES  # noqa: E402

from safety_steer.cli.console import table  # noqa: E402
from safety_steer.directions.aligned import AlignedDirection  # noqa: E402
from safety_steer.directions.source import ModelIdentity  # noqa: E402
from safety_steer.storage.bundled import SOURCE, bundled  # noqa: E402

from . import full_size  # noqa: E402
from .full_size import ENCODERS, GENERATORS, Generator  # noqa: E402
from .steering_speed import wide_space  # noqa: E402

STEPS, ROUNDS = 4, 3
SMALL = {"SDXL": "sdxl", "Flux": "flux", "Qwen-Image": "qwen_image", "Wan 1.3B": "wan", "Wan 14B": "wan"}
BATCHES = (4096, 16384, 65536)  # tokens of a pass, powers of four around what fills a large card
PROBES = tuple(f"prompt {number}" for number in range(8))
SITES = {"none": None, "conditioning": "conditioning", "cross-attention": "cross-attention"}


def synchronise() -> None:
    """Wait until the GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds(function: Callable[[], object]) -> float:
    """Return how long one call takes, with all that it left to the GPU."""
    synchronise()
    start = time.perf_counter()
    function()
    synchronise()
    return time.perf_counter() - start


def peak_mib(function: Callable[[], object]) -> float | None:
    """Return the GPU memory that a call needs at most beyond what is in use, None without a GPU."""
    if not torch.cuda.is_available():
        function()
        return None
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    function()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def small_generator(name: str) -> Generator:
    """Return a generator of the same class in the size that tests use."""
    row, full = FAMILIES[SMALL[name]], GENERATORS[name]
    sizes = {space: shape[-1] for space, shape in row.text.items()}
    _, rows, width = row.text["cross_attn"]
    unet = {**row.unet, **row.sized(sizes)}
    return replace(full, unet=unet, latent=row.latent, text=(rows, width), pooled=sizes.get("pooled_output", 0))


def planted(width: int) -> Any:
    """Return a direction of one space of this width, as the pack inside ComfyUI loads it."""
    space = wide_space(1, torch.Generator().manual_seed(0), width)
    identity = ModelIdentity("planted", "planted", width, 1)
    made = AlignedDirection(identity, "planted", "", ("global",), {"cross_attn": space}, PROBES, {}, {})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "planted.safetensors"
        made.save(path)
        return running_comfyui.module("safety_steer.directions.aligned").AlignedDirection.load(path)


def measure_generator(name: str, small: bool) -> dict[str, Any]:
    """Time a sampling step without steering and at both sites, on a prompt a part of whose tokens is steered."""
    generator = small_generator(name) if small else GENERATORS[name]
    model = full_size.model(generator, torch.float32 if small else torch.bfloat16)
    aligned = planted(generator.text[1])
    positive, negative = full_size.conditioning(generator, 1), full_size.conditioning(generator, 2)
    positive[0][0][:, 2:5] -= 20 * aligned.spaces["cross_attn"].vectors[0]
    inputs = {"direction": aligned, "strength": 1.0, "operator": "erase", "gate": "off", "preserve_norm": False}
    inputs |= {"start_percent": 0.0, "end_percent": 1.0}
    steered = {
        way: model if site is None else running_comfyui.call("ApplySafetySteer", model=model, site=site, **inputs)[0]
        for way, site in SITES.items()
    }

    def sample(way: str) -> torch.Tensor:
        settings = {"seed": 1, "steps": STEPS, "cfg": generator.cfg, "sampler_name": "euler", "scheduler": "simple"}
        latent = {"samples": torch.zeros(generator.latent)}
        texts = {"positive": positive, "negative": negative, "denoise": 1.0}
        made: torch.Tensor = running_comfyui.call("KSampler", model=steered[way], latent_image=latent, **texts, **settings)[0][
            "samples"
        ]
        return made

    pictures = {way: sample(way) for way in SITES}
    if any(torch.equal(pictures["none"], pictures[way]) for way in SITES if way != "none"):
        raise SystemExit(f"{name} was to be steered, and was not.")
    peaks = {way: peak_mib(lambda way=way: sample(way)) for way in SITES}  # type: ignore[misc]
    times = {way: [] for way in SITES}  # type: dict[str, list[float]]
    for _ in range(ROUNDS):
        for way in SITES:
            times[way].append(seconds(lambda way=way: sample(way)) / STEPS)  # type: ignore[misc]
    medians = {way: statistics.median(found) for way, found in times.items()}
    return {way: {"step_s": medians[way], "ratio": medians[way] / medians["none"], "peak_mib": peaks[way]} for way in SITES} | {
        "weights_mib": model.model_size() / 2**20,
        "latent": list(generator.latent),
        "steps": STEPS,
    }


def rows_of(clip: Any, prompts: Sequence[str]) -> list[list[int]]:
    """Return the token ids of prompts without padding, shortest first."""
    tokens = running_comfyui.module("adapters.clip.tokens")
    options = tokens.without_padding(clip)
    found = [next(iter(tokens.sections(clip.tokenize(prompt, **options)).values())) for prompt in prompts]
    return sorted(([int(token[0]) for section in one for token in section] for one in found), key=len)


def passes(rows: Sequence[list[int]], budget: int, device: torch.device) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield ids and masks of passes of at most `budget` tokens, padding counted."""
    start = 0
    while start < len(rows):
        end = start + 1
        while end < len(rows) and (end + 1 - start) * len(rows[end]) <= budget:
            end += 1
        width = len(rows[end - 1])
        ids, mask = torch.zeros(end - start, width, dtype=torch.long), torch.zeros(end - start, width, dtype=torch.long)
        for row, one in enumerate(rows[start:end]):
            ids[row, : len(one)], mask[row, : len(one)] = torch.tensor(one), 1
        yield ids.to(device), mask.to(device)
        start = end


def bare_seconds(clip: Any, prompts: Sequence[str]) -> dict[str, float]:
    """Return how long the encoder's transformer alone takes over the prompts, for each size of a pass that fits."""
    [transformer] = [part.transformer for part in clip.cond_stage_model.children() if hasattr(part, "transformer")]
    device, rows = next(transformer.parameters()).device, rows_of(clip, prompts)
    found = {}
    for budget in BATCHES:
        ready = list(passes(rows, budget, device))

        def run(ready: list[tuple[torch.Tensor, torch.Tensor]] = ready) -> None:
            for ids, mask in ready:
                transformer(ids, attention_mask=mask, dtype=torch.float32)

        try:
            transformer(*ready[0][:1], attention_mask=ready[0][1], dtype=torch.float32)
            found[str(budget)] = seconds(run)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
    return found


def measure_encoder(name: str, small: bool) -> dict[str, Any]:
    """Time Align Direction with the bundled direction against the encoder's own passes over the same prompts."""
    kind = ENCODERS[name][0]
    if small:
        clip = clips.clip(kind)
    else:
        clip = full_size.encoder(name, torch.bfloat16)
    direction = running_comfyui.module("safety_steer.directions.source").SafetyDirection.load(bundled(SOURCE))
    count = 64 if small else len(direction.anchors)
    encoding = running_comfyui.module("adapters.clip.encode_prompts")
    prompts = [*direction.anchors[:count], *(() if small else direction.passages)]
    found = encoding.study(clip)

    def encode() -> None:
        for _ in encoding.encode_prompts(found, prompts):
            pass

    bare = bare_seconds(clip, prompts)
    figures: dict[str, Any] = {"prompts": len(prompts), "bare_s": bare, "encode_s": seconds(encode)}
    figures["peak_mib"] = peak_mib(encode)
    figures["ratio"] = figures["encode_s"] / min(bare.values())
    if small:
        return figures
    inputs = {"direction": direction, "clip": clip, "map": "ridge", "max_anchors": count}
    try:
        figures["align_s"] = seconds(lambda: running_comfyui.call("AlignSafetyDirection", **inputs))
    except ValueError as error:  # random weights may carry no meaning over; the prompts are encoded all the same
        figures["align"] = str(error)
    return figures


def in_a_process(kind: str, name: str, small: bool, limit: float) -> dict[str, Any]:
    """Run one part in a process of its own; return its figures, or what kept it from having any."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--part", kind, name, *(["--small"] if small else [])]
    settings = {**os.environ, "SAFETY_STEER_DEVICE": "gpu" if torch.cuda.is_available() else "cpu"}
    try:
        done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"not_measured": "no time was left"}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {"not_measured": "does not fit this card's memory" if "OutOfMemory" in last else last}
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def shown(results: dict[str, Any]) -> list[list[Any]]:
    """Return a row of the table for every way of a generator and for every encoder."""
    rows: list[list[Any]] = []
    for name, found in results.items():
        if "not_measured" in found:
            rows.append([name, found["not_measured"], "", "", ""])
        elif "encode_s" in found:
            rows.append([name, "encoding", *_cells(found["encode_s"], found["ratio"], found["peak_mib"])])
        else:
            rows += [[name, way, *_cells(*(found[way][key] for key in ("step_s", "ratio", "peak_mib")))] for way in SITES]
    return rows


def _cells(time_s: float, ratio: float, peak: float | None) -> list[str]:
    return [f"{time_s:.4f}", f"{ratio:.3f}", "" if peak is None else f"{peak:.0f}"]


def main() -> None:
    """Run all parts within the time there is, the shorter ones first, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=450, help="how long all of it may take")
    parser.add_argument("--small", action="store_true", help="small sizes, to check this script")
    parser.add_argument("--only", nargs="*", default=[*GENERATORS, *ENCODERS], metavar="NAME")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", help="JSON file to write after every part")
    options = parser.parse_args()
    if options.part:
        kind, name = options.part
        with torch.inference_mode():
            print(json.dumps({"generator": measure_generator, "encoder": measure_encoder}[kind](name, options.small)))
        return
    start = time.monotonic()
    card = comfy.model_management.get_torch_device_name(comfy.model_management.get_torch_device())
    results: dict[str, Any] = {}
    for name in options.only:
        kind = "generator" if name in GENERATORS else "encoder"
        left = options.seconds - (time.monotonic() - start)
        results[name] = in_a_process(kind, name, options.small, max(1.0, left))
        if options.output:
            found = {"device": card, "torch": torch.__version__, "small": options.small, "results": results}
            Path(options.output).write_text(json.dumps(found, indent=1))
    print(f"{card}, torch {torch.__version__}")
    print(table(["model", "steering", "seconds", "ratio", "peak MiB"], shown(results)))


if __name__ == "__main__":
    main()
