"""The public keys that the user of this ComfyUI trusts: files in its user folder, where nothing that is queued can write."""

from __future__ import annotations

from ..safety_steer.storage.keys import read_trusted
from ..safety_steer.storage.signature import State, Verdict
from . import folders, node_text


def trusted_keys() -> dict[str, str]:
    """Return the names of the trusted keys by their digits; a file that is no key is told in the log and left out."""
    trusted, complaints = read_trusted(folders.trusted_keys_folder())
    for complaint in complaints:
        node_text.LOGGER.warning("Safety Steer leaves out a trusted key: %s", complaint)
    return trusted


def warn(name: str, verdict: Verdict) -> None:
    """Say in the log when a file's signature is broken; steering goes on."""
    if verdict.state is State.BROKEN:
        node_text.LOGGER.warning("Safety Steer: '%s' has a %s", name, verdict.text)
