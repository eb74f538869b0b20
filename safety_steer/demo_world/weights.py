"""Weights of the demo networks: one safetensors file each, half precision, with the sizes in its metadata."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import FileFormatError
from ..storage.bundled import ASSETS
from ..storage.text_files import write_bytes
from .autoencoder import Autoencoder, AutoencoderConfig
from .judges import JUDGES, JudgeConfig
from .picture_reader import PictureReader, ReaderConfig
from .transformer import SceneTransformer, TransformerConfig

WEIGHTS_FOLDER = ASSETS / "weights"
FORMAT = "safety-steer-demo/1"


@dataclass(frozen=True)
class Saved:
    """What a weights file holds: which network, its configuration, its tensors and free notes about the training."""

    network: str
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    notes: dict[str, Any]


def save_weights(path: str | os.PathLike[str], network: str, module: nn.Module, notes: Mapping[str, Any]) -> None:
    """Write a module's weights in half precision, first to a temporary name; `module.config` travels along."""
    from safetensors.torch import save

    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: _half(name, value) for name, value in module.state_dict().items()}
    config: Any = module.config
    metadata = {
        "format": FORMAT,
        "network": network,
        "config": json.dumps(asdict(config)),
        "notes": json.dumps(dict(notes)),
    }
    write_bytes(target, save(tensors, metadata))


def _half(name: str, value: Tensor) -> Tensor:
    """Keep statistics of channels as they are: half precision could not hold outlier channels."""
    exact = not value.is_floating_point() or name.endswith(("_mean", "_scale"))
    return (value if exact else value.half()).detach().cpu().contiguous()


def read_weights(path: str | os.PathLike[str]) -> Saved:
    """Read a weights file; raises FileFormatError, naming the file and the cure, when it is missing, damaged or foreign."""
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ValueError(f"it is not marked '{FORMAT}'")
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        return Saved(metadata["network"], json.loads(metadata["config"]), tensors, json.loads(metadata.get("notes", "{}")))
    except Exception as error:  # the reader fails in as many ways as there are broken files, and all mean this
        raise FileFormatError(f"Cannot use the demo weights '{path}': {error}. Get the file again.") from error


def load_network(path: str | os.PathLike[str], network: str = "") -> nn.Module:
    """Build the network a weights file describes, in float32 and ready to run; raises FileFormatError.

    `network` names the one expected: "autoencoder", "generator", "picture-reader" or one of `judges.JUDGES`; empty takes any.
    """
    saved = read_weights(path)
    if network and saved.network != network:
        raise FileFormatError(f"Expected a demo {network} in '{path}', but it holds a {saved.network}. Give the right file.")
    try:
        module = _build(saved)
        module.load_state_dict(
            {name: value.float() if value.is_floating_point() else value for name, value in saved.tensors.items()}
        )
    except (KeyError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise FileFormatError(f"The demo weights '{path}' do not fit together: {reason}. Get the file again.") from error
    return module.eval().requires_grad_(False)


def _build(saved: Saved) -> nn.Module:
    if saved.network == "autoencoder":
        return Autoencoder(AutoencoderConfig(**saved.config))
    if saved.network == "generator":
        return SceneTransformer(TransformerConfig(**saved.config))
    if saved.network == "picture-reader":
        return PictureReader(ReaderConfig(**{**saved.config, "heads": tuple(saved.config["heads"])}))
    return JUDGES[saved.network](JudgeConfig(**saved.config))


def weights_path(name: str) -> Path:
    """Return where the bundled weights of a name ("image", "video", "autoencoder" ...) lie."""
    return WEIGHTS_FOLDER / f"{name}.safetensors"


def fits(module: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors that fit a module by name and shape: to start one generator from another's weights."""
    own = module.state_dict()
    return {name: value.to(torch.float32) for name, value in tensors.items() if name in own and own[name].shape == value.shape}
