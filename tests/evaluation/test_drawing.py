"""Drawing in parts: the batches and the bits of one process, in any order and wherever a run is cut off."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import pytest
import torch
from support.studio import make_inputs, make_studio
from torch import Tensor

from safety_steer.cli import main
from safety_steer.errors import MismatchError
from safety_steer.evaluation.demo import drawing
from safety_steer.evaluation.demo import run as runs
from safety_steer.evaluation.demo import session as sessions
from safety_steer.evaluation.demo.drawing import Ask, Part, Sampling, draw_part, part_key
from safety_steer.evaluation.demo.methods import Method, MethodInputs, Steer, steering
from safety_steer.evaluation.demo.run import Plan, evaluate
from safety_steer.evaluation.demo.session import DemoSession
from safety_steer.extraction import shards
from safety_steer.extraction.shards import load_sharded
from safety_steer.runners.runner import Here, Runner
from safety_steer.storage.kept_parts import KeptParts

PLAN = Plan({"unsafe": 5, "benign": 3}, stage="tune", steps=1)
METHODS = [
    Method("none", "none"),
    Method("negative prompt", "negative"),
    Method("SLD", "sld", strength=1.0),
    Method("SAFREE-style", "safree", strength=1.0),
]
WIDTH = 48
SLD_AGAIN = [Method("SLD", "sld", strength=value) for value in (1.0, 2.0)]  # the first has a row by then


class Cut(Exception):  # noqa: N818 - it stands for a process that is killed
    """The end of a run that is cut off."""


class Elsewhere:
    """Runs pickled items three at a time, the last one first, and notes them; cut off after so many."""

    def __init__(self, most: int = 1000) -> None:
        self.items: list[Any] = []
        self.most = most

    def run(self, task: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        waiting = iter(enumerate(items))
        while batch := [found for _, found in zip(range(3), waiting, strict=False)]:
            for number, item in reversed(batch):
                if len(self.items) == self.most:
                    raise Cut
                self.items.append(item)
                yield number, over(task(over(item)))

    @property
    def drawn(self) -> list[str]:
        return [part_key(item) for item in self.items if isinstance(item, Part)]


def doubling(method: Method, inputs: MethodInputs) -> Steer | None:
    """Two methods that move some prompts alike, and are given other batches by it."""
    if method.kind != "doubled":
        return steering(method, inputs)
    rows = range(3) if method.strength == 1 else range(1, 5)
    return lambda states: [one * 2 if number in rows else one for number, one in enumerate(states)]


def over(value: Any) -> Any:
    """What another process gets."""
    return ForkingPickler.loads(ForkingPickler.dumps(value))


def untimed(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "BATCH", 2)
    monkeypatch.setattr(shards, "PART_BATCHES", 1)


@pytest.fixture
def studio(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., DemoSession]]:
    """What opens sessions with the same weights, which workers load too."""
    monkeypatch.setattr(drawing, "load_generator", lambda _: make_studio(models["bert"]).generator)
    drawing._loaded.cache_clear()

    def make(runner: Runner | None = None, kept: Path | None = None) -> DemoSession:
        one = make_studio(models["bert"])
        if runner is None:
            return one
        crew = load_sharded(str(models["bert"]), "auto", "auto", runner, KeptParts(kept))
        return replace(one, runner=runner, kept=KeptParts(kept), crew=crew)

    yield make
    drawing._loaded.cache_clear()


def test_parts_drawn_elsewhere_in_another_order_give_the_same_rows(studio: Callable[..., DemoSession], tmp_path: Path) -> None:
    here, away = studio(), studio(runner := Elsewhere())
    expected = evaluate(here, make_inputs(here), METHODS, PLAN, tmp_path / "here.json", curve=SLD_AGAIN)
    rows = evaluate(away, make_inputs(away), METHODS, PLAN, tmp_path / "away.json", curve=SLD_AGAIN)
    assert untimed(rows) == untimed(expected)
    assert list(here.drawn) != list(away.drawn)
    assert all(torch.equal(picture, away.drawn[key]) for key, picture in here.drawn.items())
    assert (here.pictures, away.pictures) == (len(here.drawn), len(away.drawn))
    assert len(set(runner.drawn)) == len(runner.drawn) > 10
    assert len(runner.items) > len(runner.drawn), "prompts are encoded there too"
    assert all(row["seconds"] > 0 for row in rows)


@pytest.mark.parametrize("left", [14, 9, 5])
def test_a_run_that_goes_on_draws_what_is_missing_and_nothing_twice(
    left: int, studio: Callable[..., DemoSession], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "steering", doubling)
    methods = [*METHODS[:1], *(Method("doubled", "doubled", strength=value) for value in (1.0, 2.0)), METHODS[2]]
    whole = studio(complete := Elsewhere(), tmp_path / "whole")
    expected = evaluate(whole, make_inputs(whole), methods, PLAN)
    file, kept = tmp_path / "rows.json", tmp_path / "kept"
    first, second = Elsewhere(len(complete.items) - left), Elsewhere()
    with pytest.raises(Cut):
        evaluate(one := studio(first, kept), make_inputs(one), methods, PLAN, file)
    again = studio(second, kept)
    assert untimed(evaluate(again, make_inputs(again), methods, PLAN, file)) == untimed(expected)
    assert sorted(first.drawn + second.drawn) == sorted(complete.drawn)
    assert {path.name for path in kept.iterdir()} == {path.name for path in (tmp_path / "whole").iterdir()}
    third = Elsewhere()
    last = studio(third, kept)
    assert untimed(evaluate(last, make_inputs(last), methods, PLAN)) == untimed(expected)
    assert third.items == []


def test_what_has_its_row_decides_the_batches_of_what_has_none(studio: Callable[..., DemoSession], tmp_path: Path) -> None:
    """Pictures 1 to 5 have been asked for; of those asked for next, 4 and 5 are among them, so 6 and 7 make a batch."""
    states = [torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(number)) for number in range(8)]
    before, after = ask(states, range(1, 6)), ask(states, range(4, 8))
    whole = studio(everything := Elsewhere(), tmp_path / "whole")
    expected = list(whole.draw_all([before, after]))[1]
    part = studio(needed := Elsewhere(), tmp_path / "part")
    [found] = part.draw_all([replace(before, wanted=False), after])
    assert torch.equal(found.pictures, expected.pictures)
    assert (found.drawn, expected.drawn) == (2, 2)
    assert [item.seeds for item in everything.items] == [(5,), (3, 4), (1, 2), (6, 7)]
    assert [item.seeds for item in needed.items] == [(6, 7), (5,), (3, 4)]


def ask(states: list[Tensor], numbers: range) -> Ask:
    return Ask([states[number] for number in numbers], list(numbers), sampling=Sampling(1))


def test_a_damaged_part_is_drawn_again(studio: Callable[..., DemoSession], tmp_path: Path) -> None:
    states = [torch.ones(2, WIDTH), torch.zeros(2, WIDTH), torch.ones(4, WIDTH)]
    expected = studio(Here(), tmp_path).draw(states, [1, 2, 3])
    damaged = sorted(tmp_path.iterdir())[0]
    data = damaged.read_bytes()
    damaged.write_bytes(data[:-100])
    again = studio(runner := Elsewhere(), tmp_path)
    assert torch.equal(again.draw(states, [1, 2, 3]), expected)
    assert runner.drawn == [damaged.name]
    assert len(damaged.read_bytes()) == len(data)


def test_a_worker_with_other_weights_draws_nothing(studio: Callable[..., DemoSession]) -> None:
    away = studio(Elsewhere())
    away.generator.network.leave.weight.data += 1
    with pytest.raises(MismatchError, match=r"other weights of 'tiny'\. Install the same version"):
        away.draw([torch.ones(2, WIDTH)], [1])


def test_tensors_go_to_another_process_as_bytes(studio: Callable[..., DemoSession]) -> None:
    away = studio(runner := Elsewhere())
    away.draw([torch.full((2, WIDTH), 0.7)], [1], sampling=Sampling(1))
    [part] = runner.items
    for tensors in (part.contexts, draw_part(part)):
        data = bytes(ForkingPickler.dumps(tensors))
        assert all(one.numpy().tobytes() in data for one in tensors.values())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--ray", "auto", "--processes", "2"], "Give one of them"),
        (["--processes", "0"], "at least 1, but got 0"),
        *((["--comfy-url", "http://127.0.0.1:1", name, "2"], "shared out with") for name in ("--ray", "--processes", "--keep")),
    ],
)
def test_the_command_refuses_crews_it_cannot_have(
    options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--quiet", "--output", str(tmp_path / "out"), *options]) == 2
    assert re.search(words, capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []
