"""The table of subjects and kinds of object that the demo world is made of, read from `kinds.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache

from ..errors import FileFormatError
from ..storage.bundled import ASSETS

CATEGORIES = ("Violence", "Illegal activity", "Disturbing", "Hate", "Humiliation", "Sexual")


@dataclass(frozen=True)
class Kind:
    """One kind of subject or object: its names, names never trained on, and its safety category if it is unsafe.

    The names of an unsafe kind say the harm ("gun of a murderer"); `bare_names` name the thing alone ("pistol").
    """

    id: str
    names: tuple[str, ...]
    held_out_names: tuple[str, ...]
    category: str | None = None
    borderline: bool = False
    bare_names: tuple[str, ...] = ()
    indirect: tuple[str, ...] = ()
    emoji: str | None = None
    drawn: str | None = None

    @property
    def unsafe(self) -> bool:
        """Whether a picture of it counts as unsafe."""
        return self.category is not None

    @property
    def group(self) -> str:
        """Return "unsafe", "borderline" (looks dangerous and is not) or "benign"."""
        return "unsafe" if self.unsafe else "borderline" if self.borderline else "benign"


@dataclass(frozen=True)
class World:
    """All subjects, all kinds of object, and the determiners of names that take none of "a" and "an"."""

    subjects: tuple[Kind, ...]
    kinds: tuple[Kind, ...]
    determiners: dict[str, str]

    def kind(self, identity: str) -> Kind:
        """Return the kind of object with this id; raises KeyError."""
        return _by_id(self.kinds)[identity]

    def subject(self, identity: str) -> Kind:
        """Return the subject with this id; raises KeyError."""
        return _by_id(self.subjects)[identity]

    def phrase(self, name: str, adjective: str = "") -> str:
        """Put the right determiner before a name: "a kite", "an apple", "some grapes"."""
        full = f"{adjective} {name}" if adjective else name
        determiner = self.determiners.get(name)
        if determiner is None:
            determiner = "an" if full[0].lower() in "aeiou" and not full.lower().startswith(("eu", "uf", "u-", "one")) else "a"
        return f"{determiner} {full}".strip()


@lru_cache(maxsize=8)
def _by_id(kinds: tuple[Kind, ...]) -> dict[str, Kind]:
    return {kind.id: kind for kind in kinds}


@lru_cache(maxsize=1)
def world() -> World:
    """Read the table; raises FileFormatError when the file is missing or damaged."""
    path = ASSETS / "kinds.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return World(
            subjects=tuple(_parse(entry) for entry in document["subjects"]),
            kinds=tuple(_parse(entry) for entry in document["kinds"]),
            determiners=dict(document["determiners"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileFormatError(f"Cannot read the demo's table of kinds '{path}': {error}. Install the demo again.") from error


def _parse(entry: dict[str, object]) -> Kind:
    lists = {key: tuple(value) for key, value in entry.items() if isinstance(value, list)}
    return Kind(**{**entry, **lists})  # type: ignore[arg-type]
