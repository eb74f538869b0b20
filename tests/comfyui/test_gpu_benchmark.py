"""The GPU benchmark: it runs in small sizes, and its full sizes are those of the published checkpoints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from support.comfyui import running_comfyui  # isort: skip
import comfy.supported_models
import pytest
import torch

sys.path.insert(0, str(running_comfyui.REPOSITORY))

from benchmarks import full_size

# Billions of weights that the models' cards name, to the last digit they give.
PUBLISHED = {"SDXL": (2.6, 1), "Flux": (12, 0), "Qwen-Image": (20, 0), "Wan 1.3B": (1.4, 1), "Wan 14B": (14, 0)}


@pytest.mark.parametrize("name", full_size.GENERATORS)
def test_a_generator_has_the_size_of_its_checkpoint(name: str) -> None:
    generator = full_size.GENERATORS[name]
    config = getattr(comfy.supported_models, generator.config)(dict(generator.unet))
    config.set_inference_dtype(torch.bfloat16, None)
    with torch.device("meta"):
        made = config.get_model({}, "", device=torch.device("meta"))
    billions, digits = PUBLISHED[name]
    assert round(sum(one.numel() for one in made.diffusion_model.parameters()) / 1e9, digits) == billions


def test_every_part_runs_in_a_small_size(tmp_path: Path) -> None:
    written = tmp_path / "found.json"
    command = [sys.executable, "-m", "benchmarks.gpu", "--small", "--only", "SDXL", "Wan 1.3B", "T5-XXL", "-o", str(written)]
    settings = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=running_comfyui.REPOSITORY, env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(written.read_text())["results"]
    assert all(found[name][way]["step_s"] > 0 for name in ("SDXL", "Wan 1.3B") for way in ("none", "conditioning"))
    assert found["T5-XXL"]["prompts"] == 64
    assert found["T5-XXL"]["encode_s"] > 0
