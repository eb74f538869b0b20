"""The errors Safety Steer raises: each names what was expected, what came, and what to do."""

from __future__ import annotations


class SafetySteerError(ValueError):
    """Base of every error a caller can fix by changing an input."""


class DataError(SafetySteerError):
    """A pairs file, prompt list or argument that cannot be used."""


class FileFormatError(SafetySteerError):
    """A direction file that is damaged, foreign, unsafe to read or of another schema."""


class EncoderError(SafetySteerError):
    """A model folder or file that cannot be loaded, or has no usable hidden states."""


class MismatchError(SafetySteerError):
    """A direction and an encoder, or a direction and a tensor, that do not belong together."""


class AlignmentError(SafetySteerError):
    """Anchors too few or too poor for a map, or a map no better than chance."""


class ServerError(SafetySteerError):
    """A ComfyUI server that is not there, is gone, refuses a workflow or fails in it."""


class ServerGoneError(ServerError):
    """A ComfyUI server that does not answer, or no longer knows a run it was given: another one can do its work."""


class JudgeError(SafetySteerError):
    """A judge of pictures that is missing, fails or answers something that cannot be read."""


class StorageError(SafetySteerError):
    """A place on disk that is full or cannot be written to."""


class RefusedError(SafetySteerError):
    """A prompt that is unsafe, in a workflow whose user wants such prompts to stop the run."""


class WorkerError(SafetySteerError):
    """Workers of a long job that died on the same part again and again."""
