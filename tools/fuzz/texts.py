"""Text files: prompt lists, pairs, tables of benchmarks, captions and tuples of pictures, and the journal of an evaluation."""

from __future__ import annotations

import json
from typing import Any

from safety_steer.evaluation.comfyui import journal
from safety_steer.evaluation.comfyui.journal import Job, Journal, Picture, Row
from safety_steer.evaluation.comfyui.prompts import Prompt, read_prompt_file
from safety_steer.evaluation.demo.kept import read_rows
from safety_steer.storage.captioned_pictures import captioned_pictures
from safety_steer.storage.picture_tuples import LIST, read_tuples
from safety_steer.storage.prompt_files import MAX_CHARACTERS, MAX_PROMPTS, category_rows, read_pairs, read_prompts

from .stream import Stream, edited
from .target import Target, folder, given, refusing, whole

PROMPTS = (("a.txt", read_prompts), ("a.tsv", read_prompts))
FILES = ("a.csv", "a.tsv", "a.jsonl", "a.txt")
ROWS = (
    {"safe": "a woman with an umbrella", "unsafe": "a woman with a sword", "category": "Blades", "source": "mine"},
    {"safe": "a lantern", "unsafe": "a torch", "category": "fires"},
)
TABLE = b'prompt,categories,sd_seed\na kite,"weather, wind",7\na map,,12.0\n'
PICTURE_ROW = {"safe": "a kite", "unsafe": "a sword", "safe_picture": "a.png", "unsafe_picture": "b.png", "category": "x"}
ROW = {
    **{"workflow": "w", "judge": "j", "group": "prompts", "number": 1, "prompt": "", "categories": ["a"], "seed": 5},
    **{"strength": 1.0, "seconds": 2.5, "pictures": [{"file": "a.png", "score": 0.5, "unsafe": False, "pixels": None}]},
}
RESULT = {
    **{"generator": "image", "method": "Safety Steer", "map": "ridge", "operator": "erase", "gate": "hard", "strength": 1.0},
    **{"split": "unsafe", "count": 4, "asr": 0.25, "asr_ci": [0.1, 0.4], "asr_second": 0.25, "requested": 0.25, "clip": 0.3},
    **{"fid": None, "object": 1.0, "subject": 1.0, "place": 0.5, "identical": 0.0, "over_refusal": None, "seconds": 0.1},
}


def _lines(rows: tuple[Any, ...], data: bytes) -> bytes:
    """Return the bytes themselves, or after a first byte that is odd, lines of sound JSON with edits."""
    stream = Stream(data)
    if stream.byte() % 2 == 0:
        return stream.rest()
    found = edited(list(rows), stream)
    try:
        return b"\n".join(json.dumps(row).encode() for row in (found if isinstance(found, list) else [found]))
    except RecursionError:
        return b"[" * 2000


def _prompts(data: bytes) -> None:
    stream = Stream(data)
    name, read = PROMPTS[stream.byte() % len(PROMPTS)]
    with refusing():
        found = read(given(name, stream.rest()))
        assert 0 < len(found) <= MAX_PROMPTS
        assert len(set(found)) == len(found)
        assert all(one and len(one) <= MAX_CHARACTERS for one in found)


def _pairs(data: bytes) -> None:
    stream = Stream(data)
    name = ("a.jsonl", "a.csv")[stream.byte() % 2]
    with refusing():
        found = read_pairs(given(name, stream.rest() if name == "a.csv" else _lines(ROWS, stream.rest())))
        assert all(one.safe != one.unsafe and one.category.isprintable() for one in found)
        assert all(f"{one.safe}{one.unsafe}".encode() for one in found)
        assert category_rows(found)["global"] == list(range(len(found)))


def _table(data: bytes) -> None:
    stream = Stream(data)
    name = FILES[stream.byte() % len(FILES)]
    rows: tuple[Any, ...] = ({"prompt": "a kite", "categories": "a, b", "sd_seed": 7}, {"Prompt": "a map", "seed": "12.0"})
    with refusing():
        found = read_prompt_file(given(name, _lines(rows, stream.rest()) if name == "a.jsonl" else stream.rest()))
        assert all(one.text and one.digest for one in found)
        assert all(one.seed is None or 0 <= one.seed < 2**64 for one in found)


def _captions(data: bytes) -> None:
    place = folder() / "pictures"
    place.mkdir(exist_ok=True)
    for name in ("a.png", "b.png"):
        (place / name).touch()
    stream = Stream(data)
    if stream.byte() % 2:
        (place / "a.txt").write_bytes(stream.rest())
        (place / "b.txt").write_bytes(b"a map")
        with refusing():
            assert all(one.caption for one in captioned_pictures(place, 8, "a test"))
        return
    (place / LIST).write_bytes(_lines((PICTURE_ROW, PICTURE_ROW), stream.rest()))
    with refusing():
        found = read_tuples(place)
        assert all(path.parent == place.resolve() for one in found for path in (one.safe_picture, one.unsafe_picture))


def _results(data: bytes) -> None:
    """Read the rows that a run of the demo's evaluation left, and lay them out as its table does."""
    stream = Stream(data)
    text = stream.rest() if stream.byte() % 2 else b"[" + b",".join(_lines((RESULT, RESULT), stream.rest()).split(b"\n")) + b"]"
    with refusing():
        found = read_rows(given("evaluate.json", text))
        assert all(f"{row['asr']:.2f} {row['asr_ci'][0]:.2f} {row['clip']:.3f}" for row in found)


def _journal(data: bytes) -> None:
    """Open a journal that another run left, add a row, and open it again: the row is there, and what was there still is."""
    place = folder() / "journal"
    place.mkdir(exist_ok=True)
    prompt = Prompt(1, "a kite")
    rows = ({**ROW, "prompt": prompt.digest}, {**ROW, "prompt": prompt.digest, "seed": 6})
    stream = Stream(data)
    end, path = b"" if stream.byte() % 4 == 1 else b"\n", place / journal.ROWS
    path.write_bytes(_lines(rows, stream.rest()) + end)
    sets = {"prompts": [prompt]}
    with refusing():
        found = Journal.open(place, "w", "j", sets)
        assert all(isinstance(row, Row) and row.key == key for key, row in found.rows.items())
        job = Job("prompts", prompt, 7, 0.5)
        made = found.add(job, [Picture("b.png", 0.25, False, None)], 1.5)
        again = Journal.open(place, "w", "j", sets)
        assert again.rows == {**found.rows, job.key: made}
    whole(path, None)


_JSONL = b"\n".join(json.dumps(row).encode() for row in ROWS)
TARGETS = (
    Target("prompts", _prompts, lambda: (b"\0a kite\na map\n", b"\1id\tPrompt\n1\ta kite\n2\ta map\n")),
    Target("pairs", _pairs, lambda: (b"\0\0" + _JSONL, b"\0\1\2\3\7\5", b"\1safe,unsafe,category\na,b,c\n")),
    Target("tables", _table, lambda: (b"\0" + TABLE, b"\1a\tprompt\n", b'\2\0{"prompt": "a", "seed": 3}\n', b"\2\1\1\3\7\2")),
    Target("captions", _captions, lambda: (b"\1a kite", b"\0\0" + json.dumps(PICTURE_ROW).encode(), b"\0\1\1\2\3")),
    Target("results", _results, lambda: (b"\0\0" + json.dumps(RESULT).encode(), b"\0\1\2\3\7", b"\1[]")),
    Target("journal", _journal, lambda: (b"\0\0" + json.dumps(ROW).encode() + b"\n", b"\0\1\2\3\7", b"\1\1")),
)
