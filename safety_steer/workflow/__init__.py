"""Workflow files: find what samples and what encodes its prompt, put safety steering in, and take it out again.

Pure functions on parsed JSON; nothing here imports torch or ComfyUI.
"""

from .adding import Change, add, check
from .removing import remove
from .source import WorkflowFile, read_workflow, write_workflow

__all__ = ["Change", "WorkflowFile", "add", "check", "read_workflow", "remove", "write_workflow"]
