"""What holds for every input: readers agree with what they replace, what was written comes back, and an error is one line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from safety_steer.errors import LONGEST, DataError
from safety_steer.evaluation.comfyui import journal
from safety_steer.evaluation.comfyui.journal import Job, Journal, Picture
from safety_steer.evaluation.comfyui.prompts import Prompt
from safety_steer.storage.json_values import MAX_DEPTH, is_text, parse_json
from safety_steer.storage.prompt_files import MAX_PROMPTS, numbered_lines, read_prompts, read_table

FUZZ = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = st.text(max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
SOURCE = Path("table.csv")


@given(value=JSON)
@FUZZ
def test_json_says_what_it_says(value: Any) -> None:
    text = json.dumps(value)
    assert parse_json(text) == parse_json(text.encode()) == json.loads(text)


@given(depth=st.integers(1, 3 * MAX_DEPTH), keyed=st.booleans(), around=JSON)
@example(depth=MAX_DEPTH, keyed=False, around=None)
@example(depth=MAX_DEPTH - 1, keyed=True, around=None)
@FUZZ
def test_json_is_refused_where_it_is_too_deep_and_nowhere_else(depth: int, keyed: bool, around: Any) -> None:
    opened, closed = ('{"a":', "}") if keyed else ("[", "]")
    text = f"[{json.dumps(around)}, {opened * depth}1{closed * depth}]"
    if depth + 1 > MAX_DEPTH:
        with pytest.raises(ValueError, match="deep"):
            parse_json(text)
    else:
        assert parse_json(text)[0] == around


@given(text=st.text(max_size=40) | st.text(alphabet="\ud800\udfff\x1b\n\r\u2028a", max_size=40))
@FUZZ
def test_an_error_is_one_line_of_letters_whatever_it_quotes(text: str) -> None:
    said = str(DataError(f"'{text * 400}' is wrong. Mend it."))
    assert said.isprintable()
    assert len(said) <= LONGEST + len(" ... ")
    assert said.endswith(" is wrong. Mend it.")
    assert is_text(text) == (text == text.encode("utf-8", "ignore").decode())


CELL = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=8)
ROWS = st.lists(st.lists(CELL, min_size=1, max_size=5), min_size=1, max_size=5)


@given(rows=ROWS)
@FUZZ
def test_a_table_is_read_as_pythons_own_reader_does(rows: list[list[str]]) -> None:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerows(rows)
    text = stream.getvalue()
    expected = [{key: row[key] for key in row if key is not None} for row in csv.DictReader(io.StringIO(text, newline=""))]
    assert read_table(SOURCE, text, ",") == expected


@given(text=st.text(alphabet="ab \n\x0b\x0c\x1c\u2028\t", max_size=60))
@FUZZ
def test_lines_end_where_a_line_ends_and_keep_their_numbers(text: str) -> None:
    expected = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    assert list(numbered_lines(SOURCE, text)) == expected


def test_one_line_too_many_is_refused() -> None:
    assert len(list(numbered_lines(SOURCE, "a\n" * MAX_PROMPTS))) == MAX_PROMPTS
    with pytest.raises(DataError, match="more than 200,000 rows"):
        list(numbered_lines(SOURCE, "a\n" * (MAX_PROMPTS + 1)))


@given(prompts=st.lists(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1), min_size=1))
@FUZZ
def test_a_list_of_prompts_comes_back_without_repeats(prompts: list[str], tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(prompts), encoding="utf-8", newline="\n")
    expected = list(dict.fromkeys(" ".join(prompt.split()) for prompt in prompts if prompt.strip()))
    if expected:
        assert read_prompts(path) == expected
    else:
        with pytest.raises(DataError, match="no prompts"):
            read_prompts(path)


NUMBER = st.floats(allow_nan=False, allow_infinity=False)
PICTURE = st.builds(Picture, TEXT, NUMBER, st.booleans(), st.none() | TEXT)


@given(
    seed=st.integers(0, 2**64 - 1),
    strength=NUMBER,
    categories=st.lists(TEXT, max_size=3).map(tuple),
    pictures=st.lists(PICTURE, max_size=3),
    seconds=st.none() | NUMBER,
    cut=st.integers(0, 400),
)
@FUZZ
def test_a_row_comes_back_and_a_cut_one_leaves_those_before(
    seed: int,
    strength: float,
    categories: tuple[str, ...],
    pictures: list[Picture],
    seconds: float | None,
    cut: int,
    tmp_path: Path,
) -> None:
    path = tmp_path / journal.ROWS
    path.unlink(missing_ok=True)
    kept = Journal.open(tmp_path, "w", "j", {})
    first = kept.add(Job("prompts", Prompt(1, "a kite", categories), seed, strength), pictures, seconds)
    whole = path.read_bytes()
    second = kept.add(Job("prompts", Prompt(2, "a map"), seed, strength), pictures, seconds)
    assert Journal.open(tmp_path, "w", "j", {}).rows == {first.key: first, second.key: second}
    end = path.read_bytes()[len(whole) :]
    path.write_bytes(whole + end[: cut % len(end)])
    assert Journal.open(tmp_path, "w", "j", {}).rows == {first.key: first}
