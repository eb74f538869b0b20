"""Measure how fast benign anchors are encoded through ComfyUI's CLIP: one prompt at a time, and as Align Direction does it.

    COMFYUI_PATH=... python -m benchmarks.encoding [-n 64] [--only clip_l pixart_t5 ...] [-o results/encoding.json]

Run it with the Python of that ComfyUI. Weights are random, since time does not depend on them. CLIP-L has its real size, T5 the
width of T5 XXL (4,096) and `--layers` of its 24 layers, to fit in memory; layers are alike, so that ratios carry over. Of the
older bundled prompts it takes those of the commonest lengths: among all of them most share their length
with a hundred others, of a few chosen at random hardly any would.

Both ways run in turn, and figures are medians. On a machine with other work `--threads 1` and the ratio of processor times
say most: two threads wait for each other there, which single prompts pay for. `bare_ratio` is how much faster per prompt the
widest matrix of the encoder is on 32 prompts than on one: no way of encoding several at a time can gain more than that.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
T5_WIDTH, T5_LAYERS = 4096, 24
BATCH = 32


def comfyui() -> Any:
    """Make ComfyUI and the pack importable, on the CPU; return the pack's module of encoding."""
    checkout = os.environ.get("COMFYUI_PATH", "")
    if not (Path(checkout) / "comfy").is_dir():
        raise SystemExit("Set COMFYUI_PATH to a ComfyUI checkout, and run this with its Python.")
    packages = Path(tempfile.mkdtemp(prefix="safety-steer-encoding-"))
    (packages / "safety_steer_pack").symlink_to(ROOT, target_is_directory=True)
    sys.path[:0] = [checkout, str(packages)]
    import comfy.options

    comfy.options.enable_args_parsing(False)
    from comfy.cli_args import args

    args.cpu = True
    import importlib

    return importlib.import_module("safety_steer_pack.adapters.clip.encode_prompts")


def made(encoder: Any, tokenizer: Any, options: Mapping[str, Any]) -> Any:
    """Make a CLIP of ComfyUI's classes with seeded random weights."""
    import comfy.sd

    target = SimpleNamespace(clip=encoder, params={}, tokenizer=tokenizer)
    clip = comfy.sd.CLIP(target, model_options={"dtype": torch.float32, **options})
    generator = torch.Generator().manual_seed(0)
    for name, parameter in clip.cond_stage_model.named_parameters():
        parameter.requires_grad_(False)
        if parameter.ndim < 2:
            parameter.data.fill_(float(name.endswith("weight")))
        else:
            deviation = 1.0 if "embedding" in name or "shared" in name else parameter[0].numel() ** -0.5
            parameter.data.normal_(0.0, deviation, generator=generator)
    return clip


def clip_l(_layers: int) -> Any:
    """CLIP-L of Stable Diffusion 1.5 and Flux: 12 layers, 768 wide, always 77 tokens."""
    import comfy.sd1_clip

    return made(comfy.sd1_clip.SD1ClipModel, comfy.sd1_clip.SD1Tokenizer, {})


def t5(module: str, encoder: str, tokenizer: str, layers: int) -> Any:
    """T5 XXL with fewer layers, behind a family's own encoder and tokenizer."""
    import importlib

    found = importlib.import_module(f"comfy.text_encoders.{module}")
    config = {"num_layers": layers, "vocab_size": 32128}
    return made(getattr(found, encoder)(), getattr(found, tokenizer), {"t5xxl_model_config": config})


def pixart_t5(layers: int) -> Any:
    """T5 XXL as PixArt and Chroma have it: no padding."""
    return t5("pixart_t5", "pixart_te", "PixArtTokenizer", layers)


def mochi_t5(layers: int) -> Any:
    """T5 XXL as Mochi and LTX-Video have it: padded to 256 tokens, which are masked but stay in the text."""
    return t5("genmo", "mochi_te", "MochiT5Tokenizer", layers)


ENCODERS: dict[str, Callable[[int], Any]] = {"clip_l": clip_l, "pixart_t5": pixart_t5, "mochi_t5": mochi_t5}


def of_common_lengths(clip: Any, every: Sequence[str], count: int) -> list[str]:
    """Return prompts that share their number of tokens with as many others as can be, at most 32 of one length."""
    by_length: dict[Any, list[str]] = {}
    for prompt in every:
        tokens = clip.tokenize(prompt)
        by_length.setdefault(tuple(len(section) for key in sorted(tokens) for section in tokens[key]), []).append(prompt)
    groups = sorted(by_length.values(), key=len, reverse=True)
    return [prompt for group in groups for prompt in group[:BATCH]][:count]


def one_at_a_time(clip: Any, prompts: Sequence[str]) -> Iterator[torch.Tensor]:
    """Encode as CLIP Text Encode does: text states (T, D) of each prompt."""
    for prompt in prompts:
        yield clip.encode_from_tokens_scheduled(clip.tokenize(prompt))[0][0][0]


def batched(clip_text: Any, text: Any, prompts: Sequence[str]) -> Iterator[torch.Tensor]:
    """Encode as Align Direction does."""
    for batch in clip_text.encode_prompts(text, prompts):
        yield from batch["cross_attn"]


def timed(run: Callable[[], Iterator[torch.Tensor]]) -> tuple[float, float, list[torch.Tensor]]:
    """Run to the end: seconds, seconds of the processor, and what came."""
    start, used = time.perf_counter(), time.process_time()
    states = list(run())
    return time.perf_counter() - start, time.process_time() - used, states


def bare(clip: Any, rows: int) -> float:
    """Return how many times faster per row the widest feed-forward layer is on a pass of prompts than on one prompt."""
    layers = [part for part in clip.cond_stage_model.modules() if isinstance(part, torch.nn.Linear)]
    weight = max(layers, key=lambda part: part.weight.numel()).weight

    def seconds(count: int) -> float:
        given = torch.randn(count, weight.shape[1])
        return min(timed(lambda: iter([given @ weight.T]))[1] for _ in range(7))

    return seconds(rows) * BATCH / seconds(rows * BATCH)


def measure(clip_text: Any, clip: Any, prompts: Sequence[str], repeats: int) -> dict[str, float]:
    """Encode the prompts both ways in turn; seconds, their ratio, and the smallest cosine of two states of a prompt."""
    text = clip_text.study(clip)
    times: list[tuple[float, ...]] = []
    alike = 1.0
    for repeat in range(repeats + 1):
        ways = [lambda: one_at_a_time(clip, prompts), lambda: batched(clip_text, text, prompts)]
        order = (0, 1) if repeat % 2 else (1, 0)
        results = {way: timed(ways[way]) for way in order}
        if repeat:  # the first one warms up
            times.append((*results[0][:2], *results[1][:2]))
        alike = min(alike, *map(smallest_cosine, results[0][2], results[1][2]))
    tokens = statistics.median(len(rows) for rows in results[0][2])
    seconds = [statistics.median(column) for column in zip(*times, strict=True)]
    return {
        "prompts": len(prompts),
        "rows": tokens,
        "one_at_a_time_s": seconds[0],
        "batched_s": seconds[2],
        "ratio": statistics.median(row[0] / row[2] for row in times),
        "processor_ratio": statistics.median(row[1] / row[3] for row in times),
        "bare_ratio": bare(clip, int(tokens)),
        "min_cosine": alike,
    }


def smallest_cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    """Compare the states (T, D) of one prompt; rows that one way leaves out as padding have to be zeros in the other."""
    if len(one) != len(other):
        one, other = (rows[(rows != 0).any(-1)] for rows in (one, other))
    assert one.shape == other.shape
    return float(torch.nn.functional.cosine_similarity(one.double(), other.double(), dim=-1)[(one != 0).any(-1)].min())


def main() -> None:
    """Measure the encoders one after another, print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", "--count", type=int, default=64, help="how many of the bundled benign prompts")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--layers", type=int, default=4, help="layers of T5 XXL, which has 24")
    parser.add_argument("--threads", type=int, default=0, help="threads, if not all that torch takes by itself")
    parser.add_argument("--note", default="", help="what else the machine was doing")
    parser.add_argument("--only", nargs="*", choices=tuple(ENCODERS), default=tuple(ENCODERS))
    parser.add_argument("-o", "--output", help="JSON file to write; encoders not run now stay in it")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    clip_text = comfyui()
    every = (ROOT / "directions" / "benign_prompts.txt").read_text("utf-8").splitlines()
    results: dict[str, Any] = {}
    with torch.inference_mode():
        for name in options.only:
            clip = ENCODERS[name](options.layers)
            results[name] = measure(clip_text, clip, of_common_lengths(clip, every, options.count), options.repeats)
            del clip
            if name != "clip_l":
                results[name]["layers"] = options.layers
            print(name, json.dumps(results[name], indent=1))
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    if options.output:
        path = Path(options.output)
        before = json.loads(path.read_text()) if path.is_file() else {}
        note = {"note": options.note} if options.note else {}
        path.write_text(json.dumps({**before, "machine": machine, **note, **results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
