"""What `import safety_steer` offers: the whole journey, lazily, and the page that walks it."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

from support import wording

import safety_steer

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "python.md"


def test_a_name_of_the_journey_is_a_function_and_no_module() -> None:
    journey = ("extract_direction", "align_direction", "steer_conditioning", "load_text_model", "read_pairs", "collect_anchors")
    assert [name for name in journey if not inspect.isfunction(getattr(safety_steer, name))] == []
    assert [name for name in safety_steer.__all__ if inspect.ismodule(getattr(safety_steer, name))] == []


def test_every_public_name_is_listed() -> None:
    assert set(safety_steer.__all__) <= set(dir(safety_steer))


def test_a_name_means_the_same_after_its_module_was_imported() -> None:
    script = (
        "import safety_steer.alignment.align_direction, safety_steer.steering.steer_conditioning\n"
        "from safety_steer import align_direction, steer_conditioning\n"
        "print(callable(align_direction), callable(steer_conditioning))"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert answer.stdout.strip() == "True True"


def test_importing_the_library_does_not_import_torch() -> None:
    script = "import sys, safety_steer; print([name for name in ('torch', 'numpy', 'transformers') if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert answer.stdout.strip() == "[]"


def test_the_page_for_python_runs(models: dict[str, Path], tmp_path: Path) -> None:
    [code] = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / "page.py").write_text(code)
    (tmp_path / "source_model").symlink_to(models["llama"])
    (tmp_path / "text_encoder").symlink_to(models["bert"])
    wording.write_pairs(tmp_path / "pairs.jsonl", wording.stand_in_pairs(40))
    wording.write_prompts(tmp_path / "harmless.txt", wording.sentences(240))
    wording.write_prompts(tmp_path / "prompts.txt", ["a woman holding a sword in the park", "a man drawing a map"])
    paths = {**os.environ, "PYTHONPATH": str(ROOT)}
    answer = subprocess.run([sys.executable, "page.py"], capture_output=True, text=True, check=True, cwd=tmp_path, env=paths)
    lines = answer.stdout.splitlines()
    assert [line.split("(")[-1] for line in lines] == ["1, 10, 48)", "1, 7, 48)"]
    assert all(" steered " in line or " as it was " in line for line in lines)
    assert safety_steer.AlignedDirection.load(tmp_path / "aligned.safetensors").categories == ("global", "blades", "fires")
