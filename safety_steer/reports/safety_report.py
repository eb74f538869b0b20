"""SafetyReport: what steering did to one prompt, as plain numbers that can be drawn, read and kept as JSON.

Two steps, so that sampling waits for neither: `record` keeps what came in and what went out, and `measure` reads both when
somebody asks. A token is read in units of what is rare: 0 is the middle of all harmless tokens, and 1 is what one harmless
token in two hundred reaches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ..categories import GLOBAL
from ..directions.aligned import AlignedDirection, gate_categories
from ..directions.aligned_space import AlignedSpace
from ..directions.pooling import token_mask
from ..directions.quantiles import at_quantile, share_below
from ..errors import FileFormatError
from ..steering.gate import FALSE_POSITIVE_RATE, GateDecision, gate_threshold, harmless_scores, open_gate, opening_log_odds
from ..steering.request import active_strengths
from ..steering.steer_conditioning import Outcome, as_tokens
from ..steering.unsafe_words import WORD_QUANTILE
from ..storage import checks
from .token_words import Word

KIND = "safety-report"
NUMBER = (float, int, type(None))
ADVICE = "Connect the json output of Safety Report."


@dataclass(frozen=True, eq=False)
class Record:
    """The aligned tensors of one conditioning entry, `before` and `after`, on the CPU, and which tokens were erased.

    `steered` is False when every strength was 0; `left_alone` names text the direction is not aligned to.
    """

    before: Mapping[str, Tensor]
    after: Mapping[str, Tensor]
    erased: Mapping[str, Tensor] = field(default_factory=dict)
    left_alone: tuple[str, ...] = ()
    steered: bool = True
    false_positive_rate: float = FALSE_POSITIVE_RATE


@dataclass(frozen=True)
class Evidence:
    """What the gate heard: its `score`, the `share` of harmless prompts below that, and log-odds `by_category`."""

    score: float
    share: float
    by_category: tuple[float, ...]


@dataclass(frozen=True)
class SpaceReport:
    """One text space, token by token: readings `before` and `after`, how far it `moved` as a share of its length.

    `erased` tokens gave way to the rest of the prompt; `padding` is never touched. `words` say which tokens are which word.
    """

    name: str
    before: tuple[float, ...]
    after: tuple[float, ...]
    moved: tuple[float, ...]
    erased: tuple[bool, ...]
    padding: tuple[bool, ...]
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class SafetyReport:
    """What steering did to one prompt. Above `threshold` it is flagged; `benign` are the scores of harmless prompts at LEVELS.

    `opens_at` is the log-odds of a whole prompt at which this prompt's gate opens, None where there is none.
    `category` is the likeliest one, whether flagged or not.
    """

    encoder: str
    category: str
    categories: tuple[str, ...]
    before: Evidence
    after: Evidence
    threshold: float
    opens_at: float | None
    benign: tuple[float, ...]
    spaces: tuple[SpaceReport, ...]
    left_alone: tuple[str, ...] = ()
    steered: bool = True

    @property
    def flagged(self) -> bool:
        """Whether the prompt, as it came in, is above the threshold."""
        return self.before.score > self.threshold

    @property
    def changed(self) -> bool:
        """Whether any token moved."""
        return any(moved > 0 for space in self.spaces for moved in space.moved)

    @property
    def shown(self) -> SpaceReport:
        """The space to show token by token: the one that has words, else the first with more than one token."""
        spaced = sorted(self.spaces, key=lambda space: (not space.words, len(space.before) < 2))
        return spaced[0]

    def document(self) -> dict[str, Any]:
        """Return the JSON form; numbers that are not finite become null."""
        return {"kind": KIND, "schema": checks.SCHEMA_VERSION, "flagged": self.flagged, **_plain(asdict(self))}

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> SafetyReport:
        """Read the JSON form; raises FileFormatError for one of another kind, or with a part missing or odd."""
        checks.check_kind(document, KIND, ADVICE)
        return cls(
            encoder=checks.field(document, "encoder", str),
            category=checks.field(document, "category", str),
            categories=_column(document, "categories", str),
            before=_evidence(checks.field(document, "before", dict)),
            after=_evidence(checks.field(document, "after", dict)),
            threshold=checks.field(document, "threshold", float),
            opens_at=_number(document, "opens_at"),
            benign=_column(document, "benign", *NUMBER),
            spaces=tuple(_space(space) for space in _column(document, "spaces", dict)),
            left_alone=_column(document, "left_alone", str),
            steered=checks.field(document, "steered", bool),
        )


def record(outcome: Outcome, used: bool = True) -> Record:
    """Keep what a report is measured from; not `used` says that the steered tensors were thrown away.

    Tensors on the CPU are kept as they are, those of a GPU are copied from it, so that none of its memory stays taken.
    """
    after = {name: _as_read(outcome, name) if used else tensor for name, tensor in outcome.before.items()}
    erased = {name: found.erased for name, found in outcome.spaces.items() if used and found.erased is not None}
    steered, rate = outcome.gate is not None, outcome.false_positive_rate
    return Record(_on_cpu(outcome.before), _on_cpu(after), _on_cpu(erased), outcome.left_alone, steered, rate)


def measure(kept: Record, aligned: AlignedDirection) -> list[SafetyReport]:
    """Report on every prompt of a conditioning entry, in order."""
    rate = kept.false_positive_rate
    before = {name: as_tokens(tensor) for name, tensor in kept.before.items()}
    after = {name: as_tokens(kept.after[name]) for name in before}
    first = next(iter(before))
    space = aligned.spaces[first]
    decisions = [open_gate(states[first], space, "hard", rate) for states in (before, after)]
    opens_at = opening_log_odds(space, decisions[0]).tolist()
    benign = harmless_scores(space).tolist()
    categories = gate_categories(aligned.categories)
    columns = _columns(aligned)
    spaces = {name: _tokens(name, before[name], after[name], kept, aligned.spaces[name], columns) for name in before}
    return [
        SafetyReport(
            encoder=aligned.encoder,
            category=categories[int(decisions[0].by_category[row].argmax())],
            categories=categories,
            before=_heard(decisions[0], row, benign),
            after=_heard(decisions[1], row, benign),
            threshold=gate_threshold(space, rate),
            opens_at=opens_at[row] if math.isfinite(opens_at[row]) else None,
            benign=tuple(benign),
            # A pooled state may be one row for all prompts of a batch.
            spaces=tuple(rows[min(row, len(rows) - 1)] for rows in spaces.values()),
            left_alone=kept.left_alone,
            steered=kept.steered,
        )
        for row in range(len(before[first]))
    ]


def with_words(report: SafetyReport, words: Mapping[str, Sequence[Word]]) -> SafetyReport:
    """Return a report whose spaces say which tokens are which words, where that is known."""
    return replace(
        report, spaces=tuple(replace(space, words=tuple(words.get(space.name, space.words))) for space in report.spaces)
    )


def _as_read(outcome: Outcome, name: str) -> Tensor:
    """Return a space's steered tensor as it is read: without the rows of pictures."""
    if name not in outcome.images:
        return outcome.tensors[name]
    return outcome.spaces[name].states if name in outcome.spaces else outcome.before[name]


def _on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.to("cpu") for name, tensor in tensors.items()}


def _columns(aligned: AlignedDirection) -> list[int]:
    """Return the categories that steer; "global" stands for all of them, and so does none."""
    active = active_strengths(aligned.strengths, aligned.categories)
    if not active or GLOBAL in active:
        return list(range(len(aligned.categories)))
    return [aligned.categories.index(name) for name in active]


def _tokens(
    name: str, before: Tensor, after: Tensor, kept: Record, space: AlignedSpace, columns: Sequence[int]
) -> list[SpaceReport]:
    """Read all tokens of a space (B, T, D), as the highest of the categories in units of its rare reading."""
    limits = at_quantile(space.tokens.token_quantiles, WORD_QUANTILE)[list(columns)].clamp(min=1e-6)
    real = token_mask(before)
    readings = [((space.unsafe_reading(states, columns) / limits).amax(-1) * real).tolist() for states in (before, after)]
    distance = (after.float() - before.float()).norm(dim=-1) / before.float().norm(dim=-1).clamp(min=1e-12)
    erased = kept.erased.get(name, torch.zeros_like(real)).tolist()
    columns_of = [*readings, distance.tolist(), erased, (~real).tolist()]
    return [SpaceReport(name, *map(tuple, rows)) for rows in zip(*columns_of, strict=True)]


def _heard(decision: GateDecision, row: int, benign: Sequence[float]) -> Evidence:
    score = float(decision.scores[row])
    return Evidence(score, share_below(benign, score), tuple(decision.by_category[row].tolist()))


def _plain(value: Any) -> Any:
    """Make a value JSON: tuples become lists, and numbers that are not finite become null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _evidence(document: Mapping[str, Any]) -> Evidence:
    score = _number(document, "score")
    score = -math.inf if score is None else score
    return Evidence(score, _number(document, "share"), _column(document, "by_category", *NUMBER))


def _space(document: Mapping[str, Any]) -> SpaceReport:
    numbers = {name: _column(document, name, *NUMBER) for name in ("before", "after", "moved")}
    flags = {name: _column(document, name, bool) for name in ("erased", "padding")}
    words = tuple(_word(word) for word in _column(document, "words", dict))
    return SpaceReport(checks.field(document, "name", str), **numbers, **flags, words=words)


def _word(document: Mapping[str, Any]) -> Word:
    first, stop = (checks.field(document, name, int) for name in ("first", "stop"))
    # Tokens may hold characters that are not printable, which `checks.field` refuses.
    return Word(_checked(document.get("text"), "text", str), first, stop, checks.field(document, "special", bool))


def _number(document: Mapping[str, Any], key: str) -> Any:
    """Return a number, or None for null, which stands for one that was not finite."""
    if key not in document:
        raise FileFormatError(f"Metadata '{key}' is missing. {ADVICE}")
    return _checked(document[key], key, *NUMBER)


def _column(document: Mapping[str, Any], key: str, *kinds: type) -> tuple[Any, ...]:
    """Return a list of values of the given types."""
    return tuple(_checked(value, key, *kinds) for value in checks.field(document, key, list))


def _checked(value: Any, key: str, *kinds: type) -> Any:
    if type(value) not in kinds:
        raise FileFormatError(f"Metadata '{key}' holds a {type(value).__name__}. {ADVICE}")
    return value
