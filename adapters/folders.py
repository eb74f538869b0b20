"""Where direction files, pairs, patches, refusals and language models are found on this computer, and where fits are kept."""

from __future__ import annotations

import os
import re
from pathlib import Path

import folder_paths

from ..safety_steer.errors import DataError
from ..safety_steer.storage import bundled

DIRECTIONS, PAIRS, PATCHES, REFUSALS = "safety_directions", "safety_pairs", "safety_patches", "safety_refusals"
ALIGNED = "safety_aligned"
BUNDLED = (DIRECTIONS, PAIRS)
EXTENSIONS = {
    DIRECTIONS: {".safetensors"},
    PAIRS: {".jsonl", ".csv"},
    PATCHES: {".safetensors"},
    REFUSALS: {".safetensors"},
    ALIGNED: {".safetensors"},
}
NODES = {
    DIRECTIONS: "Load Safety Direction",
    PAIRS: "Extract Safety Direction",
    PATCHES: "Negate Unsafe Weights",
    REFUSALS: "Refuse Unsafe Requests",
    ALIGNED: "Load Aligned Direction",
}
ADVICE = {
    REFUSALS: "None comes with Safety Steer: make one for your language model with the command safety-steer refuse train, put "
    "it in {folder}, press R in ComfyUI, and choose it in {node}."
}
NOUNS = {
    DIRECTIONS: "direction file",
    PAIRS: "file of pairs",
    PATCHES: "patch file",
    REFUSALS: "refusal file",
    ALIGNED: "aligned direction file",
}
KINDS = {DIRECTIONS: "direction", PAIRS: "pair", PATCHES: "patch", REFUSALS: "refusal", ALIGNED: "aligned direction"}
SAVING = {DIRECTIONS: "Save Safety Direction", ALIGNED: "Save Aligned Direction"}
DRAWN = "drawn scenes"  # listed with the folders of pictures; a name in saved workflows
MODEL_FOLDERS = ("LLM", "text_encoders")
# A file system takes 255, and while a file is written its name is longer.
MAX_NAME_BYTES = 200


def register() -> None:
    """Add `models/safety_directions` with the bundled directions, and those of pairs, patches, refusals and aligned
    directions, to the model folders of ComfyUI.

    Paths a user has set in extra_model_paths.yaml are there already and stay first.
    """
    for kind, extensions in EXTENSIONS.items():
        folder_paths.add_model_folder_path(kind, os.path.join(folder_paths.models_dir, kind))
        if kind in BUNDLED:
            folder_paths.add_model_folder_path(kind, str(bundled.DIRECTIONS))
        paths, known = folder_paths.folder_names_and_paths[kind]
        folder_paths.folder_names_and_paths[kind] = (paths, set(known) | extensions)
        folder_paths.filename_list_cache.pop(kind, None)


def direction_names() -> list[str]:
    """List the direction files in all registered folders."""
    return list(folder_paths.get_filename_list(DIRECTIONS))


def direction_path(name: str) -> str:
    """Return the path of a listed direction file; raises DataError for any other name."""
    return _listed(DIRECTIONS, name)


def pair_names() -> list[str]:
    """List the files of prompt pairs in all registered folders."""
    return list(folder_paths.get_filename_list(PAIRS))


def pair_path(name: str) -> str:
    """Return the path of a listed file of pairs; raises DataError for any other name."""
    return _listed(PAIRS, name)


def patch_names() -> list[str]:
    """List the patch files in all registered folders."""
    return list(folder_paths.get_filename_list(PATCHES))


def patch_path(name: str) -> str:
    """Return the path of a listed patch file; raises DataError for any other name."""
    return _listed(PATCHES, name)


def refusal_names() -> list[str]:
    """List the refusal files in all registered folders."""
    return list(folder_paths.get_filename_list(REFUSALS))


def refusal_path(name: str) -> str:
    """Return the path of a listed refusal file; raises DataError for any other name."""
    return _listed(REFUSALS, name)


def no_refusal(name: str) -> str:
    """Say that there is no refusal file of this name, and how to get one."""
    return _absent(REFUSALS, name)


def aligned_names() -> list[str]:
    """List the aligned direction files in all registered folders."""
    return list(folder_paths.get_filename_list(ALIGNED))


def aligned_path(name: str) -> str:
    """Return the path of a listed aligned direction file; raises DataError for any other name."""
    return _listed(ALIGNED, name)


def picture_folders() -> list[str]:
    """List the folders in ComfyUI's input folder, by name."""
    root = Path(folder_paths.get_input_directory())
    return sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def language_models() -> list[str]:
    """List Hugging Face folders and GGUF files in models/LLM and models/text_encoders, as "FOLDER/NAME"."""
    found = []
    for folder in MODEL_FOLDERS:
        root = Path(folder_paths.models_dir) / folder
        for path in sorted(root.iterdir()) if root.is_dir() else []:
            if (path / "config.json").is_file() or path.suffix.lower() == ".gguf":
                found.append(f"{folder}/{path.name}")
    return found


def language_model_path(name: str) -> Path:
    """Return the path of a listed language model; raises DataError for any other name."""
    if name not in language_models():
        raise DataError(
            f"There is no language model '{name[:80]}'. Choose one from the list of Extract Safety Direction, or put its "
            f"folder in {os.path.join(folder_paths.models_dir, MODEL_FOLDERS[0])} first."
        )
    return Path(folder_paths.models_dir) / name


def new_path(kind: str, name: str) -> Path:
    """Return a path in models/safety_directions or models/safety_aligned under a name that no listed file there has yet.

    Raises DataError for a name that is no file name.
    """
    stem = name.strip().removesuffix(".safetensors")
    if not re.fullmatch(r"[^\W_][\w. -]{0,79}", stem) or len(os.fsencode(stem)) > MAX_NAME_BYTES:
        raise DataError(
            f"Expected a file name of at most 80 letters, digits, spaces, dots and dashes, but got '{name[:80]}'. Change "
            f"filename on {SAVING[kind]}."
        )
    folder = Path(folder_paths.models_dir) / kind
    folder.mkdir(parents=True, exist_ok=True)
    taken = set(folder_paths.get_filename_list(kind))  # also those of other folders, which this one would hide
    path, number = folder / f"{stem}.safetensors", 2
    while path.name in taken or os.path.lexists(path):
        path, number = folder / f"{stem}-{number}.safetensors", number + 1
    return path


def fingerprint(path: str) -> str:
    """Return a text that changes when a file does."""
    status = os.stat(path)
    return f"{status.st_size}-{status.st_mtime_ns}"


def state_of_keys() -> str:
    """Return a text that changes when a trusted key comes, goes or is another."""
    folder = trusted_keys_folder()
    found = sorted(folder.glob("*.pub")) if folder.is_dir() else []
    return "".join(f" {path.name} {fingerprint(str(path))}" for path in found)


def fits_folder() -> Path:
    """Return the folder that keeps fits between sessions, inside ComfyUI's user folder."""
    return Path(folder_paths.get_user_directory()) / "__safety_steer" / "fits"


def trusted_keys_folder() -> Path:
    """Return the folder of the public keys whose signatures this user trusts, inside ComfyUI's user folder."""
    return Path(folder_paths.get_user_directory()) / "__safety_steer" / "trusted_keys"


def _listed(kind: str, name: str) -> str:
    """Return the path of a listed file, which has to lie in one of its folders."""
    # A queued prompt can carry any string here: not every ComfyUI checks a dropdown against its list.
    if name not in folder_paths.get_filename_list(kind):
        raise DataError(_absent(kind, name))
    path: str = os.path.realpath(folder_paths.get_full_path_or_raise(kind, name))
    if not any(_inside(os.path.realpath(folder), path) for folder in folder_paths.get_folder_paths(kind)):
        raise DataError(
            f"The {NOUNS[kind]} '{name[:80]}' is a link to a place outside the {KINDS[kind]} folders. Put the file "
            f"itself there, and choose it again in {NODES[kind]}."
        )
    return path


def _absent(kind: str, name: str) -> str:
    folder = os.path.join(folder_paths.models_dir, kind)
    advice = ADVICE.get(kind, "Choose one from the list of {node}, or put it in {folder} first.")
    return f"There is no {NOUNS[kind]} '{name[:80]}'. {advice.format(folder=folder, node=NODES[kind])}"


def _inside(folder: str, path: str) -> bool:
    try:
        return os.path.commonpath((folder, path)) == folder
    except ValueError:
        return False
