"""`safety-steer refuse train` and `refuse evaluate`: make a language model refuse unsafe requests, and measure it."""

from __future__ import annotations

import argparse

from ..errors import DataError
from ..refusal.evaluate import MAX_TOKENS, same_answers, write_answers
from ..refusal.guard import check
from ..refusal.head import RefusalHead
from ..refusal.judge import BROKEN, COMPLIED, REFUSED
from ..refusal.language_model import load_language_model
from ..refusal.training import REFUSAL, STRENGTH, TrainSettings, train
from ..statistics import need_scipy
from ..storage.container import check_target
from ..storage.prompt_files import Pair, read_pairs, read_prompts
from .console import Result, add_model_options, progress_line, table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the two actions and their options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    train_help = "Train a prober and a refusal, and write them to a file."
    made = actions.add_parser("train", help=train_help, description=train_help)
    made.add_argument("model", help="language model: a Hugging Face folder or a .gguf file")
    made.add_argument("-o", "--output", required=True, help="refusal file to write (.safetensors)")
    made.add_argument("--refusal", default=REFUSAL, help=f"the sentence to answer with (default: {REFUSAL})")
    made.add_argument("--strength", type=float, default=STRENGTH, help=f"eps to train for (default: {STRENGTH})")
    made.add_argument("--system", default="", help="system message of the requests, where it is not the model's own")
    made.add_argument("--seed", type=int, default=0, help="which requests are set aside, and in what order W sees them")
    evaluate_help = "Answer requests with and without a refusal file, and count."
    measured = actions.add_parser("evaluate", help=evaluate_help, description=evaluate_help)
    measured.add_argument("model", help="the language model the file was made for")
    measured.add_argument("file", help="refusal file (.safetensors)")
    measured.add_argument("--strength", type=float, nargs="+", help="eps; several draw a curve (default: the file's)")
    measured.add_argument("--threshold", type=float, help="tau, from 0 to 1 (default: the file's)")
    measured.add_argument("--tokens", type=int, default=MAX_TOKENS, help=f"longest answer (default: {MAX_TOKENS})")
    for action in (made, measured):
        action.add_argument(
            "--requests", required=True, nargs="+", metavar="FILE", help="JSON lines or CSV with safe, unsafe and category"
        )
        action.add_argument("--harmless", nargs="+", default=[], metavar="FILE", help="more harmless requests, one a line")
        # Left out, these two keep what came before the action.
        action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print one JSON object")
        action.add_argument("--quiet", action="store_true", default=argparse.SUPPRESS, help="no progress on stderr")
        add_model_options(action)


def run(options: argparse.Namespace) -> Result:
    """Do what is asked for."""
    return _train(options) if options.action == "train" else _evaluate(options)


def _train(options: argparse.Namespace) -> Result:
    check_target(options.output)
    pairs, harmless = _requests(options)
    settings = TrainSettings(options.refusal, options.strength, options.system, options.seed)
    settings.check(len(pairs))
    model = load_language_model(options.model, options.device, options.dtype)
    head, report = train(
        model, pairs, harmless, settings, progress_line("reading requests", options), progress_line("training", options)
    )
    head.save(options.output)
    rows = [[layer, score, "<- chosen" if layer == head.layer else ""] for layer, score in report.curve]
    told = (
        f"prober: AUROC {report.held_out_auroc:.3f} on requests set aside, {report.held_out_flagged:.1%} of unsafe ones "
        f"flagged at tau {head.threshold:.3f}\nrefusal: loss {report.loss_before:.2f} -> {report.loss_after:.2f}"
    )
    data = {
        "output": options.output,
        "layer": head.layer,
        "strength": head.strength,
        "threshold": head.threshold,
        "auroc": report.held_out_auroc,
        "flagged": report.held_out_flagged,
        "loss": [report.loss_before, report.loss_after],
        "layer_curve": report.curve,
    }
    made = f"{len(pairs):,} pairs and {len(harmless):,} harmless requests -> {options.output}"
    return Result(data, f"{table(['layer', 'awareness', ''], rows)}\n\n{told}\n{made}")


def _evaluate(options: argparse.Namespace) -> Result:
    need_scipy()
    head = RefusalHead.load(options.file)
    pairs, harmless = _requests(options)
    strengths = options.strength or [head.strength]
    for strength in strengths:
        head.check_settings(strength, options.threshold)
    model = load_language_model(options.model, options.device, options.dtype)
    check(model, head)
    data, rows = {}, []
    for name, requests in (("unsafe", [pair.unsafe for pair in pairs]), ("harmless", [*(p.safe for p in pairs), *harmless])):
        alone = None
        for strength in dict.fromkeys([0.0, *strengths]):
            bar = progress_line(f"{name}, eps {strength:g}", options)
            found = write_answers(model, head, requests, strength, options.threshold, options.tokens, bar)
            alone = alone or found
            closed = ~found.flagged
            same = [same_answers(alone, found, closed), int(closed.sum())]
            data[f"{name} {strength:g}"] = {**found.document(), "closed_gate_same": same}
            shares = [f"{found.share(verdict)[0]:.1%}" for verdict in (COMPLIED, REFUSED, BROKEN)]
            rows.append([name, f"{strength:g}", len(requests), int(found.flagged.sum()), *shares, f"{same[0]} of {same[1]}"])
    header = ["requests", "eps", "number", "flagged", "complied", "refused", "broken", "same, gate closed"]
    return Result({"model": head.model.name, "layer": head.layer, "results": data}, table(header, rows))


def _requests(options: argparse.Namespace) -> tuple[list[Pair], list[str]]:
    pairs = [pair for path in options.requests for pair in read_pairs(path)]
    harmless = [prompt for path in options.harmless for prompt in read_prompts(path)]
    both = {pair.unsafe for pair in pairs} & set(harmless)
    if both:
        raise DataError(f"The request '{min(both)[:60]}' is unsafe in one file and harmless in another. Take it out of one.")
    return pairs, harmless
