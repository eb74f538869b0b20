"""Prompt files of every form, and every file that cannot be used as one clear error."""

from __future__ import annotations

from pathlib import Path

import pytest

from safety_steer.errors import DataError
from safety_steer.evaluation.comfyui.prompts import Prompt, read_prompt_file, spread

I2P = """,prompt,categories,hard,sd_seed,sd_model
0,"a cat, with a knife","violence, self-harm",0,4261553411,x
1,a kite,,0,,x
"""


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode())
    return path


def test_an_i2p_table_has_categories_and_seeds(tmp_path: Path) -> None:
    first, second = read_prompt_file(write(tmp_path, "i2p.csv", I2P))
    assert first == Prompt(1, "a cat, with a knife", ("violence", "self-harm"), 4261553411)
    assert second == Prompt(2, "a kite")


def test_copies_of_i2p_call_the_seed_otherwise(tmp_path: Path) -> None:
    [prompt] = read_prompt_file(write(tmp_path, "i2p.csv", "Prompt,evaluation_seed\na kite,7.0\n"))
    assert (prompt.text, prompt.seed) == ("a kite", 7)


def test_t2v_safety_bench_is_a_folder_of_numbered_lists(tmp_path: Path) -> None:
    write(tmp_path, "10.txt", "ten\r\n")
    write(tmp_path, "2.txt", "two\r\n\r\nand two\x1cmore")
    write(tmp_path, "Tiny/1.txt", "not of this folder")
    prompts = read_prompt_file(tmp_path)
    assert [(one.number, one.text) for one in prompts] == [(1, "two"), (2, "and two more"), (3, "ten")]
    assert [one.categories for one in prompts] == [("borderline pornography",)] * 2 + [("illegal activities",)]


def test_other_folders_name_categories_by_their_files(tmp_path: Path) -> None:
    write(tmp_path, "knives.txt", "a knife")
    write(tmp_path, "fires.txt", "a fire")
    assert [one.categories for one in read_prompt_file(tmp_path)] == [("fires",), ("knives",)]


def test_lists_tables_and_json_lines(tmp_path: Path) -> None:
    assert [one.text for one in read_prompt_file(write(tmp_path, "a.txt", "a kite\n\n a kite \n"))] == ["a kite", "a kite"]
    assert read_prompt_file(write(tmp_path, "a.tsv", 'Prompt\tCategory\nsay "hi"\tpeople\n'))[0].text == 'say "hi"'
    lines = '{"prompt": "a kite", "category": ["toys", "air"], "seed": 3}\n\n{"prompt": "a map"}\n'
    assert read_prompt_file(write(tmp_path, "a.jsonl", lines)) == [Prompt(1, "a kite", ("toys", "air"), 3), Prompt(2, "a map")]


def test_a_limit_takes_from_all_over_and_grows() -> None:
    prompts = [Prompt(number, str(number)) for number in range(1, 1001)]
    few, more = spread(prompts, 10), spread(prompts, 50)
    assert len(few) == 10
    assert set(few) < set(more)
    assert [one.number for one in more] == sorted(one.number for one in more)
    assert more[0].number < 200
    assert more[-1].number > 800
    assert spread(prompts, None) == spread(prompts, 5000) == prompts


def test_the_digest_tells_prompts_apart_without_their_text() -> None:
    digests = {Prompt(1, "a kite").digest, Prompt(1, "a kite", seed=1).digest, Prompt(1, "a map").digest}
    assert len(digests) == 3
    assert Prompt(1, "a kite").digest == Prompt(9, "a kite", ("toys",)).digest


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("a.csv", "text,category\na kite,toys\n", "has the columns text, category, and none named prompt"),
        ("a.csv", "prompt,category\na kite,toys\n,toys\n", "row 2 has no prompt"),
        ("a.csv", "prompt,sd_seed\na kite,soon\n", "row 1 has the seed 'soon'"),
        ("a.csv", "prompt,sd_seed\na kite,-1\n", "0 to 2^64 - 1"),
        ("a.csv", "", "holds no prompts"),
        ("a.csv", "prompt\n", "holds no prompts"),
        ("a.txt", " \n\n", "holds no prompts"),
        ("a.jsonl", '{"prompt": "a kite"}\na kite\n', "line 2 is not JSON"),
        ("a.jsonl", '["a kite"]', "line 1 is not an object"),
        ("a.jsonl", '{"text": "a kite"}', "line 1 has no prompt"),
        ("a.txt", "x" * 20_001, "20,001 characters"),
    ],
)
def test_a_wrong_file_is_refused(name: str, content: str, word: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"[.]$") as refused:
        read_prompt_file(write(tmp_path, name, content))
    assert word in str(refused.value)
    assert name in str(refused.value)


def test_what_is_not_text_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n")
    for path, word in ((tmp_path / "picture.png", "not UTF-8"), (tmp_path / "absent.csv", "There is no file")):
        with pytest.raises(DataError, match=word):
            read_prompt_file(path)
    with pytest.raises(DataError, match=r"no \.txt lists"):
        read_prompt_file(tmp_path)
