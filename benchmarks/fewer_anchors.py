"""How few anchors carry the quality of all, and which: alignments with a share of the anchors, chosen in several ways.

    python -m benchmarks.fewer_anchors --models minilm=PATH mpnet=PATH --pairs merged_pairs.jsonl --data DATA \\
        --direction made/tuning.safetensors [--source PATH] [--half-only NAME ...] [--page docs/gate.md] \\
        [-o results/fewer_anchors.json]

Measured on the pairs that settings are tuned by (`benchmarks/splits.py`), on captions and artists' prompts that are no anchors,
and on sentences of the pairs put into such prompts. --direction is a direction made without those pairs; where there is no such
file it is made with the model that --source names. Every alignment is made --seeds times, each with the anchors in another
order, so that networks leave out other thirds and draw other rows; ways that draw, draw anew. Figures are means, and
differences from all anchors are paired by the seed. Passages are cut by the same share, as max_anchors does it. Every alignment
is a line in the --work folder, and a second run goes on from there.
"""

from __future__ import annotations

import argparse
import platform
import random
import statistics
import sys
import time
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor

from safety_steer.alignment.align_direction import align
from safety_steer.alignment.anchors import AnchorStates, choose_passages, collect
from safety_steer.alignment.target_layer import target_layer
from safety_steer.directions.aligned_space import AlignedSpace
from safety_steer.directions.harm_net import hear
from safety_steer.directions.passages import Passages
from safety_steer.directions.pooling import cut
from safety_steer.directions.source import SafetyDirection
from safety_steer.extraction.extract_direction import extract
from safety_steer.extraction.text_model import load_text_model, token_states
from safety_steer.statistics import auroc
from safety_steer.steering.gate import gate_threshold
from safety_steer.storage.bundled import BENIGN, bundled
from safety_steer.storage.prompt_files import read_prompts

from .anchor_choices import chosen
from .first_run import share
from .side_by_side import Journal, Json, about_model, digest
from .splits import SETS
from .transfer import HELD_OUT, ROOT, located, write
from .transfer_table.prompts import read
from .tuning_prompts import TuningPrompts, tuning_prompts

SPACE = "cross_attn"
RATE, RATE_WITH_ARTISTS = 0.005, 0.01  # flagged of COCO captions, and of these with artists' prompts, where sets are compared
ALL = ("as they come", 1.0)
EACH, SOME = ("drawn", "clusters"), ("clusters of whole states", "clusters for tokens")
TRIED = (
    ALL,
    *((way, 0.5) for way in ("as they come", *EACH, *SOME, "leverage", "without doubles")),
    *((way, 0.75) for way in (*EACH, *SOME)),
    *((way, part) for part in (0.85, 0.65) for way in EACH),
)
COLUMNS = {
    "auroc": "AUROC",
    "gate": "gate: safe sides",
    "gate_coco": "gate: COCO",
    "equal": "flagged, COCO equal",
    "equal_artists": "flagged, COCO and artists equal",
    "sentences": "by default: sentences",
    "coco": "by default: COCO",
    "artists": "by default: artists",
}
BEGIN, END = "<!-- fewer anchors -->", "<!-- /fewer anchors -->"
TOGETHER, BATCH_TOKENS = 256, 4096


@dataclass(frozen=True, eq=False)
class Known:
    """What one model says: `pooled` states and `passages` of what is measured, by group; tokens (T_i, D) of `harmless`."""

    pooled: Mapping[str, Tensor]
    passages: Mapping[str, Passages]
    harmless: Mapping[str, Tensor]

    def states(self, texts: Sequence[str]) -> AnchorStates:
        """Return the states of some harmless texts."""
        return collect([{SPACE: [self.harmless[text].float() for text in texts]}], len(texts))[SPACE]


def known_to(name: str, path: Path, prompts: TuningPrompts, direction: SafetyDirection, work: Path) -> Known:
    """Encode all prompts with a model, a group at a time; each is kept in half precision for a second run."""
    model = load_text_model(located(path), "cpu")
    layer = target_layer(model, "auto")

    def states_of(texts: Sequence[str]) -> list[Tensor]:
        file = work / f"{name}-{digest(*about_model(path), str(layer), *texts)}.pt"
        if not file.is_file():
            began = time.perf_counter()
            states = token_states(model, texts, layer, BATCH_TOKENS)
            torch.save([rows.half() for rows in states], file.with_suffix(".part"))
            file.with_suffix(".part").replace(file)
            print(f"{name}: {len(texts):,} prompts encoded in {time.perf_counter() - began:.0f} s", flush=True)
        return list(torch.load(file, weights_only=True))

    texts = [*direction.anchors, *direction.passages]
    harmless = dict(zip(texts, states_of(texts), strict=True))
    pooled, passages = {}, {}
    for group, members in prompts.groups.items():
        states = [rows.float() for rows in states_of(members)]
        pooled[group], passages[group] = torch.stack([rows.mean(0) for rows in states]), cut(states)
    return Known(pooled, passages, harmless)


def fitted(direction: SafetyDirection, known: Known, rows: Sequence[int], seed: int) -> tuple[AlignedSpace, Json]:
    """Align with some anchors, in an order that the seed draws; the order of the file for seed 0."""
    order = sorted(rows) if seed == 0 else random.Random(seed).sample(sorted(rows), len(rows))
    states = known.states([direction.anchors[row] for row in order])
    long = known.states(choose_passages(direction, len(order)))
    began = time.process_time()
    aligned = align(direction, {SPACE: states}, "", anchors=order, passages={SPACE: long})
    hard = 0 if direction.examples is None else int(direction.examples.hard[list(rows)].sum())
    tokens = sum(map(len, states.tokens)) + sum(map(len, long.tokens))
    return aligned.spaces[SPACE], {
        "anchors": len(order), "hard": hard, "tokens": tokens, "processor": time.process_time() - began
    }  # fmt: skip


def measured(space: AlignedSpace, known: Known) -> Json:
    """Return means over the sets of AUROCs and of shares flagged, and what the default threshold flags."""
    assert space.harm is not None
    scores, readings = {}, {}
    for group, pooled in known.pooled.items():
        scores[group] = hear(space.harm, pooled, known.passages[group]).evidence.double()
        readings[group] = space.safe_score(pooled)[:, 0].double()
    threshold = gate_threshold(space, RATE)
    equal = scores["COCO"].quantile(1 - RATE)
    equal_artists = torch.cat([scores["COCO"], scores["artists"]]).quantile(1 - RATE_WITH_ARTISTS)
    by_set = {
        name: {
            "auroc": auroc(readings[f"safe {name}"], readings[f"unsafe {name}"]),
            "gate": auroc(scores[f"unsafe {name}"], scores[f"safe {name}"]),
            "gate_coco": auroc(scores[f"unsafe {name}"], scores["COCO"]),
            "equal": share(scores[f"unsafe {name}"] > equal),
            "equal_artists": share(scores[f"unsafe {name}"] > equal_artists),
            "flagged": share(scores[f"unsafe {name}"] > threshold),
        }
        for name in SETS
    }
    means = {what: statistics.fmean(one[what] for one in by_set.values()) for what in by_set[SETS[0]]}
    plain = {group.lower(): share(scores[group] > threshold) for group in ("COCO", "artists", "composites", "sentences")}
    return {**means, **plain, "sets": by_set}


def tried(
    direction: SafetyDirection, known: Known, shares: Container[float], seeds: int, journal: Journal, key: Sequence[object]
) -> list[Json]:
    """Measure every choice of some shares of the anchors with every seed, all anchors first."""
    results: list[Json] = []
    everything: dict[int, Json] = {}
    rows_of = cache(partial(chosen, direction))

    def once(way: str, part: float, seed: int) -> Json:
        space, said = fitted(direction, known, rows_of(way, part, seed if way == "drawn" else 0), seed)
        return said | measured(space, known)

    for way, part in (one for one in TRIED if one == ALL or one[1] in shares):
        found = {seed: journal.once([*key, way, part, seed], partial(once, way, part, seed)) for seed in range(seeds)}
        everything = everything or found
        results.append({"way": way, "share": part, **compared(found, everything)})
        print(f"{way}, {part:.0%}: {results[-1]['anchors']:,.0f} anchors", flush=True)
    return results


def compared(found: Mapping[int, Json], everything: Mapping[int, Json]) -> Json:
    """Return means over seeds, and mean and standard error of the differences from all anchors, by seed."""
    result: Json = {}
    for name in (name for name, value in found[0].items() if isinstance(value, int | float)):
        apart = [found[seed][name] - everything[seed][name] for seed in found]
        error = statistics.stdev(apart) / len(apart) ** 0.5 if len(apart) > 1 else 0.0
        result[name] = statistics.fmean(one[name] for one in found.values())
        result[f"{name}_change"] = [statistics.fmean(apart), error]
    return result


def page(results: Json) -> str:
    """Lay the figures out as Markdown: all anchors, and the differences of the others, with standard errors."""
    lines: list[str] = []
    for name, ways in results["models"].items():
        everything = ways[0]
        header = [f"in {name}", "anchors", "tokens", *COLUMNS.values()]
        lines += ["", f"| {' | '.join(header)} |", f"| {' | '.join('---' for _ in header)} |"]
        for one in sorted(ways, key=lambda one: -float(one["share"])):
            cells = [
                "all" if one is everything else one["way"],
                f"{one['anchors']:,.0f}",
                f"{one['tokens'] / everything['tokens']:.0%}",
            ]
            for what in COLUMNS:
                mean, error = one[f"{what}_change"]
                cells.append(f"{one[what]:.3f}" if one is everything else f"{mean:+.3f} ({error:.3f})")
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines[1:])


def made(options: argparse.Namespace, prompts: TuningPrompts) -> SafetyDirection:
    """Return the direction that has seen none of the pairs; raises SystemExit for one made from other harmless prompts."""
    if not options.direction.is_file():
        if options.source is None:
            raise SystemExit(f"'{options.direction}' is not there. Name a --source model to make it with.")
        extract(load_text_model(located(options.source), "cpu"), prompts.train, prompts.harmless).save(options.direction)
    direction = SafetyDirection.load(options.direction)
    if {*direction.anchors, *direction.passages} != set(prompts.harmless):
        raise SystemExit(f"'{options.direction}' was made from other harmless prompts. Name another file.")
    return direction


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", required=True, metavar="NAME=PATH", help="text encoders to align to")
    parser.add_argument("--pairs", type=Path, required=True, help="training pairs (tools/data/merge_pairs.py)")
    parser.add_argument("--data", type=Path, required=True, help="the folder of the published sets")
    parser.add_argument("--direction", type=Path, required=True, help="a direction made without the pairs for tuning")
    parser.add_argument("--source", type=Path, help="the model to make it with where there is none")
    parser.add_argument("--corpus", type=Path, default=ROOT / "tools" / "data" / "harmless" / "corpus.jsonl")
    parser.add_argument("--heldout", type=Path, default=HELD_OUT)
    parser.add_argument(
        "--half-only", nargs="*", default=[], metavar="NAME", help="models to try halves of the anchors in alone"
    )
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "fewer_anchors", help="where runs are kept to go on from")
    parser.add_argument("--page", type=Path, help="a page to write the table into")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "results" / "fewer_anchors.json")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit and measure what is missing, and write the file and the page."""
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    anchors = [text for name in (BENIGN, "benign_prompts.txt") for text in read_prompts(bundled(name))]
    final = read(options.pairs, Path(bundled(BENIGN)), options.data, options.heldout)
    prompts = tuning_prompts(final, options.data, options.corpus, anchors)
    direction, journal = made(options, prompts), Journal(options.work / "runs.jsonl")
    about = f"{platform.machine()}, {options.threads} threads, torch {torch.__version__}"
    results: Json = {"about": about, "seeds": options.seeds, "anchors": len(direction.anchors), "models": {}}
    results["counts"] = {name: len(texts) for name, texts in prompts.groups.items()}
    for name, _, text in (model.partition("=") for model in options.models):
        path = Path(text).resolve()
        known = known_to(name, path, prompts, direction, options.work)
        key = [direction.content_hash, *about_model(path)]
        shares = {0.5} if name in options.half_only else {part for _, part in TRIED}
        results["models"][name] = tried(direction, known, shares, options.seeds, journal, key)
        write(options.output, results)
    if options.page:
        text = options.page.read_text(encoding="utf-8")
        before, after = text.partition(BEGIN)[0], text.partition(END)[2]
        options.page.write_text(f"{before}{BEGIN}\n{page(results)}\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
