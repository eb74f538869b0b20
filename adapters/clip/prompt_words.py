"""Which words a conditioning was made of. It does not say, so texts of the graph are encoded again and compared.

Words are shown only where a CLIP gives the very text states that were steered: nothing is guessed, and a wrong text or another
CLIP leaves the tokens numbered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from numbers import Integral
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ...safety_steer.directions.aligned import AlignedDirection
from ...safety_steer.directions.text_spaces import Place, fits, take
from ...safety_steer.reports.safety_report import Record
from ...safety_steer.reports.token_words import PADDING, Word, join_pieces
from .parts import outputs_of_parts, same_rows, source
from .tokens import Tokens, sections, without_sampling

if TYPE_CHECKING:
    from comfy.sd import CLIP

Words = dict[str, tuple[Word, ...]]

MAX_ENCODED = 12  # texts, by hand: each is a pass of the encoder
MAX_LETTERS = 20_000  # by hand


def find_words(clip: CLIP, texts: Iterable[str], records: Sequence[Record], direction: AlignedDirection) -> list[Words]:
    """Return the words of every record by text space, none where no text gives its states; at most twelve texts are tried."""
    found: list[Words] = [{} for _ in records]
    encoded, options = 0, without_sampling(clip)
    for text in texts:
        open_records = [number for number, words in enumerate(found) if not words]
        if not open_records or encoded == MAX_ENCODED:
            break
        if len(text) > MAX_LETTERS:
            continue
        tokens = clip.tokenize(text, **options)
        if not any(_could_be(tokens, records[number], direction.places) for number in open_records):
            continue
        encoded += 1
        with outputs_of_parts(clip) as outputs:
            entries = clip.encode_from_tokens_scheduled(tokens)
        if len(entries) != 1:
            continue
        entry = {**entries[0][1], "cross_attn": entries[0][0]}
        for number in open_records:
            found[number] = _words(clip, tokens, entry, outputs, records[number], direction.places)
    return found


def _could_be(tokens: Tokens, record: Record, places: Mapping[str, Place]) -> bool:
    """Say whether tokens are as many as the rows of a text space: cheap, and sorts out most texts before encoding."""
    spaces = [name for name in record.before if record.before[name].ndim == 3]
    return any(_rows(name, places[name], record.before[name].shape[1], tokens) for name in spaces)


def _close(made: Tensor, kept: Tensor) -> bool:
    """Say whether every token is the same but for rounding."""
    return made.shape == kept.shape and bool(same_rows(made, kept).all())


def _words(
    clip: CLIP,
    tokens: Tokens,
    entry: Mapping[str, Any],
    outputs: Mapping[str, Any],
    record: Record,
    places: Mapping[str, Place],
) -> Words:
    """Return the words of every space of a record that an entry gives too, in the numbers of the space's rows."""
    made: Words = {}
    for name, kept in record.before.items():
        if kept.ndim != 3 or not fits(entry, places[name]) or not _close(take(entry, places[name]), kept):
            continue
        count, taken = kept.shape[1], source(outputs, tokens, kept[0].to("cpu"))
        found = (taken[0], -taken[1]) if taken else _rows(name, places[name], count, tokens)
        pieces = _pieces(clip, tokens, found[0]) if found else None
        if not found or not pieces:
            continue
        shift = found[1]
        rows = ([PADDING] * shift + pieces if shift > 0 else pieces[-shift:])[:count]
        made[name] = join_pieces([*rows, *[PADDING] * (count - len(rows))])
    return made


def _rows(space: str, place: Place, count: int, tokens: Tokens) -> tuple[str, int] | None:
    """Guess by their number which part's tokens lie in the rows of a space, and in which row the first one does.

    That is below 0 when the encoder takes a template off the front of the prompt; None when no part fits.
    """
    lengths = {key: sum(map(len, found)) for key, found in sections(tokens).items()}
    named = sorted(lengths, key=lambda key: -len(key) if key in space else 0)
    for key in named:
        if lengths[key] == count:
            return key, 0
    for key in named:
        if place.rows != "all" and lengths[key] < count:
            return key, count - lengths[key] if place.rows == "wide" else 0
    longest = max(lengths, key=lambda key: lengths[key])
    return (longest, count - lengths[longest]) if place.rows == "all" and lengths[longest] > count else None


def _pieces(clip: CLIP, tokens: Tokens, key: str) -> list[str] | None:
    """Return every token of a part as its tokenizer writes it; None when that cannot be had."""
    whole = clip.tokenizer
    candidates = [getattr(whole, name, None) for name in (key, f"clip_{key}")]
    part = next((one for one in candidates if hasattr(one, "inv_vocab")), None)
    if part is None:
        untokenize = getattr(whole, "untokenize", None) if len(sections(tokens)) == 1 else None
        return [piece for _, piece in untokenize(chain.from_iterable(tokens[key]))] if untokenize else None
    return list(chain.from_iterable(_section(part, section) for section in tokens[key]))


def _section(tokenizer: Any, section: Sequence[tuple[Any, ...]]) -> list[str]:
    """Return the pieces of one section; after its end only padding follows, whatever token an encoder pads with."""
    pieces: list[str] = []
    ended = False
    end, pad = getattr(tokenizer, "end_token", None), getattr(tokenizer, "pad_token", None)
    for token, *_ in section:
        if not isinstance(token, Integral):
            pieces.append("<embedding>")
        elif ended and token in (pad, end):
            pieces.append(PADDING)
        else:
            pieces.append(str(tokenizer.inv_vocab.get(token, f"<{token}>")))
            ended = ended or token == end
    return pieces
