"""What a run of extract and align reads and writes, made once for the tests of the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import wording
from support.brief import briefly_taught

from safety_steer.cli import main


@pytest.fixture
def taught_briefly() -> Iterator[None]:
    """Teach briefly in every test; what `made` holds is made before, in full."""
    with briefly_taught():
        yield


@pytest.fixture(scope="session")
def made(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Paths of everything a run of extract and align reads and writes."""
    folder = tmp_path_factory.mktemp("cli")
    paths = {kind: str(models[kind]) for kind in models}
    paths["pairs"] = str(wording.write_pairs(folder / "pairs.jsonl", wording.stand_in_pairs()))
    paths["anchors"] = str(wording.write_prompts(folder / "anchors.txt", wording.sentences(200)))
    paths["direction"], paths["aligned"] = str(folder / "direction.safetensors"), str(folder / "aligned.safetensors")
    sources = ["--source", paths["llama"], "--pairs", paths["pairs"], "--anchors", paths["anchors"], "--layer", "0,1"]
    assert main(["extract", *sources, "-o", paths["direction"], "--quiet"]) == 0
    assert main(["align", paths["direction"], "--encoder", paths["t5"], "-o", paths["aligned"], "--quiet"]) == 0
    return paths
