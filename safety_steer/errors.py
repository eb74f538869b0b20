"""The errors Safety Steer raises: each names what was expected, what came, and what to do."""

from __future__ import annotations

LONGEST = 3000  # by hand; characters of a message


class SafetySteerError(ValueError):
    """Base of every error a caller can fix by changing an input."""

    def __str__(self) -> str:
        """Return the message as one line that can be shown: files and servers may put anything into the names it quotes.

        Control characters, which could move a terminal's cursor, become spaces; of a very long one the middle is left out.
        """
        text = "".join(letter if letter.isprintable() else " " for letter in super().__str__())
        return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"


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
