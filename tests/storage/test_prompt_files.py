"""Pairs and prompt lists: what is read, and one clear error for everything that cannot be used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from safety_steer.errors import DataError
from safety_steer.storage import prompt_files, text_files
from safety_steer.storage.prompt_files import Pair, category_rows, clean_prompts, read_pairs, read_prompts

GOOD = {"safe": "a woman with an umbrella", "unsafe": "a woman with a sword", "category": "blades"}


def lines(path: Path, *rows: object) -> Path:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return path


def test_json_lines_are_read(tmp_path: Path) -> None:
    path = lines(tmp_path / "pairs.jsonl", GOOD, "", {**GOOD, "category": " Sharp  Things ", "more": 1})
    assert read_pairs(path) == [
        Pair(GOOD["safe"], GOOD["unsafe"], "blades"),
        Pair(GOOD["safe"], GOOD["unsafe"], "sharp_things"),
    ]


def test_csv_is_read_with_quotes_commas_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text('category,unsafe,safe\nblades,"a sword, drawn","an umbrella, open"\n', encoding="utf-8-sig")
    assert read_pairs(path) == [Pair("an umbrella, open", "a sword, drawn", "blades")]


@pytest.mark.parametrize("character", ["\u2028", "\x85", "\x0b", "\x0c", "\x1d"])
def test_a_line_separator_inside_a_text_does_not_end_the_row(tmp_path: Path, character: str) -> None:
    row = {**GOOD, "safe": f"an umbrella{character}in a park"}
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(row, ensure_ascii=False) if character > "\x1f" else json.dumps(row), encoding="utf-8")
    assert len(read_pairs(path)) == 1


@pytest.mark.parametrize("side", ["safe", "unsafe", "category"])
@pytest.mark.parametrize("value", [None, "", "  ", 3, ["text"], {}])
def test_a_one_sided_pair_is_named_by_its_row(tmp_path: Path, side: str, value: object) -> None:
    path = lines(tmp_path / "pairs.jsonl", GOOD, {**GOOD, side: value})
    with pytest.raises(DataError, match=rf"row 2 has no '{side}'"):
        read_pairs(path)


@pytest.mark.parametrize("row", ["{", "[1]", "null", '"text"', "[" * 100_000, '{"safe": ' + "9" * 5000 + "}", "{'safe': 1}"])
def test_a_row_that_is_no_pair_is_named(tmp_path: Path, row: str) -> None:
    path = lines(tmp_path / "pairs.jsonl", GOOD, row)
    with pytest.raises(DataError, match=r"pairs\.jsonl' (row|line) 2"):
        read_pairs(path)


@pytest.mark.parametrize("category", ["global", "Global", " GLOBAL ", "x" * 65, "a\x07b"])
def test_an_unusable_category_is_refused(tmp_path: Path, category: str) -> None:
    with pytest.raises(DataError, match="row 1 has the category"):
        read_pairs(lines(tmp_path / "pairs.jsonl", {**GOOD, "category": category}))


def test_the_set_a_pair_is_from_is_read_where_it_is_told(tmp_path: Path) -> None:
    rows = (GOOD, {**GOOD, "source": " My  Set "}, {**GOOD, "source": None}, {**GOOD, "source": " "})
    assert [pair.source for pair in read_pairs(lines(tmp_path / "pairs.jsonl", *rows))] == ["", "my_set", "", ""]
    table = lines(tmp_path / "pairs.csv", "safe,unsafe,category,source", "umbrella,sword,blades,toys", "kite,knife,blades")
    assert [pair.source for pair in read_pairs(table)] == ["toys", ""]


@pytest.mark.parametrize("source", [3, True, ["text"], {}, "x" * 65, "a\x07b"])
def test_an_unusable_set_is_named_by_its_row(tmp_path: Path, source: object) -> None:
    with pytest.raises(DataError, match="row 2 has a 'source'"):
        read_pairs(lines(tmp_path / "pairs.jsonl", GOOD, {**GOOD, "source": source}))


def test_two_equal_sides_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="same text on both sides"):
        read_pairs(lines(tmp_path / "pairs.jsonl", {**GOOD, "unsafe": f" {GOOD['safe']} "}))


@pytest.mark.parametrize("text", ["", "\n\n", " \n"])
def test_empty_files_are_refused(tmp_path: Path, text: str) -> None:
    path = lines(tmp_path / "list.txt", text)
    with pytest.raises(DataError, match="holds no pairs"):
        read_pairs(path)
    with pytest.raises(DataError, match="holds no prompts"):
        read_prompts(path)


def test_a_csv_without_the_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="row 1 has no 'safe'"):
        read_pairs(lines(tmp_path / "pairs.csv", "good,bad,kind", "umbrella,sword,blades"))


def test_a_csv_field_of_absurd_length_is_refused_or_cut(tmp_path: Path) -> None:
    path = lines(tmp_path / "pairs.csv", "safe,unsafe,category", f"{'umbrella ' * 20_000},sword,blades")
    try:
        (pair,) = read_pairs(path)
    except DataError:
        return
    assert len(pair.safe) <= prompt_files.MAX_CHARACTERS


def test_missing_files_folders_and_binary_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00umbrella")
    for read in (read_pairs, read_prompts):
        for path in (tmp_path / "absent.txt", tmp_path):
            with pytest.raises(DataError, match="There is no file"):
                read(path)
        with pytest.raises(DataError, match="not UTF-8"):
            read(tmp_path / "binary.txt")


def test_an_oversized_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = lines(tmp_path / "list.txt", "a kite", "a map")
    monkeypatch.setattr(text_files, "MAX_BYTES", 5)
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: pytest.fail("the file was read"))
    for read in (read_pairs, read_prompts):
        with pytest.raises(DataError, match="larger than 5 bytes"):
            read(path)


def test_a_prompt_list_loses_blanks_and_repeats_but_keeps_its_order(tmp_path: Path) -> None:
    path = lines(tmp_path / "list.txt", "  a  kite ", "", "a map", "a kite", "a basket")
    assert read_prompts(path) == ["a kite", "a map", "a basket"]


def test_the_prompt_column_of_a_table_is_read(tmp_path: Path) -> None:
    path = lines(tmp_path / "list.tsv", "Category\tPrompt", 'toys\ta "kite', "short", "tools\ta ladder")
    assert read_prompts(path) == ['a "kite', "a ladder"]
    with pytest.raises(DataError, match="no column named Prompt"):
        read_prompts(lines(tmp_path / "other.tsv", "Category\tText", "toys\ta kite"))


def test_absurdly_many_or_long_prompts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_files, "MAX_PROMPTS", 3)
    monkeypatch.setattr(prompt_files, "MAX_CHARACTERS", 10)
    assert clean_prompts(["a", "b", "c"], "box") == ["a", "b", "c"]
    for prompts in (["a", "b", "c", "d"], ["x" * 11]):
        with pytest.raises(DataError, match="box holds"):
            clean_prompts(prompts, "box")


def test_categories_are_sorted_after_global() -> None:
    pairs = [Pair("a", "b", name) for name in ("fires", "blades", "fires")]
    rows = category_rows(pairs)
    assert list(rows) == ["global", "blades", "fires"]
    assert rows == {"global": [0, 1, 2], "blades": [1], "fires": [0, 2]}


@pytest.mark.parametrize("read", [read_pairs, read_prompts])
def test_a_pointer_of_git_lfs_is_no_list_of_three_prompts(read: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"'prompts\.txt' is a Git LFS pointer"):
        read(path)
