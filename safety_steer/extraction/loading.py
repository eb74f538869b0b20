"""Models and tokenizers from Hugging Face folders and GGUF files, through transformers, without any network access."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from ..errors import DataError, EncoderError
from .model_files import located, reason_of

# A folder can bring Python of its own, and transformers would ask on the terminal whether to run it.
LOCAL_FILES = {"local_files_only": True, "trust_remote_code": False}
Loaded = TypeVar("Loaded")
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def load_with(
    class_of: Callable[[Any], Any],
    wrap: Callable[[Any, Any, str], Loaded],
    path: str | os.PathLike[str],
    device: str = "auto",
    dtype: str = "auto",
) -> Loaded:
    """Load what `class_of(config)` of transformers makes of a path, and return `wrap(model, tokenizer, name)` of it.

    The model is frozen and on its device, except for parts that `wrap` takes out. Options and errors are those of
    `load_text_model`.
    """
    import transformers

    folder, options = located(Path(path))
    if dtype not in ("auto", *DTYPES):
        raise DataError(f"Expected dtype auto, {', '.join(DTYPES)}, but got '{dtype}'.")
    on_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    chosen = DTYPES.get(dtype, torch.bfloat16 if on_gpu else torch.float32)
    placement = {"device_map": "auto"} if device == "auto" and on_gpu else {}
    # On a processor torch's fused attention takes longer than plain products do.
    attention = {} if on_gpu else {"attn_implementation": "eager"}
    transformers.utils.logging.disable_progress_bar()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **LOCAL_FILES, **options)
        config = transformers.AutoConfig.from_pretrained(folder, **LOCAL_FILES, **options)
        model, loading = class_of(config).from_pretrained(
            folder, **LOCAL_FILES, dtype=chosen, output_loading_info=True, **attention, **placement, **options
        )
        missing = [name for name in loading["missing_keys"] if "pooler" not in name]
        if missing:
            raise EncoderError(f"the weights lack {len(missing)} tensors, {missing[0]} among them")
        model = model.eval().requires_grad_(False)
        if not placement and device != "auto":
            model = model.to(device)
        return wrap(model, tokenizer, options.get("gguf_file") or Path(path).resolve().name)
    except Exception as error:  # loaders fail in as many ways as there are broken files, and all mean this
        raise EncoderError(f"Cannot load a text model from '{path}' (device {device}): {reason_of(error)}") from error


def encoder_class(config: Any) -> Any:
    """Return the class of transformers that loads a model without what it may have on top of its blocks."""
    import transformers

    t5 = getattr(config, "model_type", "") in ("t5", "umt5", "mt5")
    return transformers.AutoModelForTextEncoding if t5 else transformers.AutoModel


def text_part(model: Any) -> Any:
    """Return the text encoder of an encoder-decoder or text-image model; other models as they are."""
    if getattr(model.config, "is_encoder_decoder", False) and hasattr(model, "get_encoder"):
        return model.get_encoder()
    for part in ("text_model", "language_model"):
        if hasattr(model, part) and not hasattr(model.config, "hidden_size"):
            return getattr(model, part)
    return model
