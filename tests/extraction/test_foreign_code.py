"""A model folder that brings Python of its own is refused, and nobody is asked whether to run it."""

from __future__ import annotations

import builtins
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from safety_steer.errors import EncoderError
from safety_steer.extraction.image_text_model import load_image_text_model
from safety_steer.extraction.text_model import load_text_model
from safety_steer.refusal.language_model import load_language_model

CODE = "from pathlib import Path\nPath(__file__).with_name('ran').touch()\n"
OWN = {
    "AutoConfig": "own.Config",
    "AutoModel": "own.Model",
    "AutoModelForCausalLM": "own.Model",
    "AutoTokenizer": ["own.Words", None],
}


@pytest.mark.parametrize("load", [load_text_model, load_image_text_model, load_language_model])
def test_code_in_a_model_folder_is_not_run_and_not_asked_about(
    load: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(builtins, "input", lambda question="": asked.append(question) or "y")
    (tmp_path / "own.py").write_text(CODE)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": OWN}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Words", "auto_map": OWN}))
    with pytest.raises(EncoderError, match="Cannot load"):
        load(tmp_path, "cpu")
    assert asked == []
    assert not list(tmp_path.rglob("ran"))
