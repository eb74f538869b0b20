"""Workflow files: find what samples and what encodes its prompt, put safety steering in, and take it out again.

`add`, `check` and `remove` are pure functions on parsed JSON; `read_workflow` and `write_workflow` read and write files.
Nothing here imports torch or ComfyUI.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adding import Change, add, check
    from .removing import remove
    from .workflow_file import WorkflowFile, read_workflow, write_workflow

__all__ = ["Change", "WorkflowFile", "add", "check", "read_workflow", "remove", "write_workflow"]


def __getattr__(name: str) -> Any:
    """Import what edits workflows when it is asked for: the nodes need no more than the names of nodes."""
    homes = {"adding": ("Change", "add", "check"), "removing": ("remove",)}
    homes["workflow_file"] = ("WorkflowFile", "read_workflow", "write_workflow")
    for home, names in homes.items():
        if name in names:
            return getattr(import_module(f".{home}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
