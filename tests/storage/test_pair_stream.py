"""Pairs in a stream: the same as read at once, from three formats, in memory that does not grow."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from safety_steer.errors import DataError
from safety_steer.storage import pair_stream
from safety_steer.storage.pair_stream import stream_pairs, windows
from safety_steer.storage.prompt_files import read_pairs

ROWS = [
    {"safe": "a red kite", "unsafe": 'a "red"\nknife', "category": "Weapons", "source": "mine"},
    {"safe": "un chat", "unsafe": "un chat armé", "category": "weapons", "source": "mine"},
]


def as_jsonl(path: Path) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in ROWS) + "\n\n")
    return path


def test_a_stream_is_what_is_read_at_once(tmp_path: Path) -> None:
    source = as_jsonl(tmp_path / "pairs.jsonl")
    assert list(stream_pairs(source)) == read_pairs(source)
    table = tmp_path / "pairs.csv"
    table.write_text(
        'safe,unsafe,category,source\na red kite,"a ""red""\nknife",Weapons,mine\nun chat,un chat armé,weapons,mine\n'
    )
    assert list(stream_pairs(table)) == read_pairs(table) == read_pairs(source)


def test_parquet_holds_the_same_pairs(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "pairs.parquet"
    parquet.write_table(pyarrow.Table.from_pylist([{**row, "more": 1} for row in ROWS]), file)
    assert list(stream_pairs(file)) == read_pairs(as_jsonl(tmp_path / "pairs.jsonl"))
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match="is not a readable Parquet file"):
        list(stream_pairs(file))


def test_bad_files_are_one_error_that_names_the_row(tmp_path: Path) -> None:
    source = tmp_path / "pairs.jsonl"
    for text, said in {
        "": "holds no pairs",
        "{": "line 1 is not JSON",
        json.dumps(ROWS[0]) + '\n{"safe": "a"}': "row 2 has no 'unsafe'",
    }.items():
        source.write_text(text)
        with pytest.raises(DataError, match=said):
            list(stream_pairs(source))
    source.write_bytes(b"\xff\xfe{}")
    with pytest.raises(DataError, match="is not UTF-8"):
        list(stream_pairs(source))
    with pytest.raises(DataError, match="There is no file"):
        list(stream_pairs(tmp_path / "none.jsonl"))


def test_a_line_without_an_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_stream, "LONGEST_LINE", 100)
    source = tmp_path / "pairs.jsonl"
    source.write_text(json.dumps({"safe": "a" * 200}))
    with pytest.raises(DataError, match="line 1 is longer than 100 characters"):
        list(stream_pairs(source))


def test_windows_hold_every_pair_once(tmp_path: Path) -> None:
    pairs = list(stream_pairs(as_jsonl(tmp_path / "pairs.jsonl"))) * 5
    assert [len(window) for window in windows(pairs, 4)] == [4, 4, 2]
    assert [pair for window in windows(pairs, 4) for pair in window] == pairs


def peak_of(pairs: Iterator[object]) -> int:
    tracemalloc.start()
    for _ in pairs:
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_a_long_file_needs_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    peaks = []
    for count in (500, 20_000):
        source = tmp_path / f"{count}.jsonl"
        source.write_text(
            "".join(json.dumps({"safe": f"a {n}", "unsafe": f"b {n}", "category": "x"}) + "\n" for n in range(count))
        )
        peaks.append(peak_of(stream_pairs(source)))
    assert peaks[1] < 1.2 * peaks[0] + 65536
