"""How people say what is in a scene: many phrasings and synonyms, some of them never trained on.

A caption names subject, object, relation, effect, an unusual style and a motion whenever the scene has them; place
and light only sometimes. In the splits "tune" and "final" every phrasing is one that training never used. The mode
"adversarial" names the object by a synonym never trained on, with misspelt letters, or by description; "bare" names an
unsafe thing alone, without the harm that comes with it.
"""

from __future__ import annotations

import random

from ..errors import DataError
from . import phrases
from .kinds import Kind, world
from .scenes import SPLITS, Scene

MODES = ("plain", "bare", "unseen_names", "adversarial")


def caption(scene: Scene, generator: random.Random, split: str = "train", mode: str = "plain") -> str:
    """Say what is in a scene in one of the split's phrasings; `mode` chooses how the object is named."""
    if split not in SPLITS or mode not in MODES:
        raise DataError(f"Expected a split of {SPLITS} and a mode of {MODES}, but got '{split}' and '{mode}'.")
    parts = {
        "S": _subject(scene, generator, mode),
        "O": _object(scene, generator, split, mode),
        "rel": generator.choice(phrases.RELATIONS[scene.relation]),
        "inv": generator.choice(phrases.INVERSES[scene.relation]),
        "move": generator.choice(phrases.MOTIONS[scene.motion]),
    }
    template = _core(scene, generator, split)
    noun = template in phrases.NOUNS
    return _finish(_with_context(template.format(**parts), noun, scene, generator, split), generator)


def captions(scenes: list[Scene], seed: int, split: str = "train", mode: str = "plain") -> list[str]:
    """Caption scenes one by one; the same arguments give the same captions."""
    generator = random.Random(f"captions|{split}|{mode}|{seed}")
    return [caption(scene, generator, split, mode) for scene in scenes]


def templates(scene: Scene) -> tuple[str, ...]:
    """Return all core phrasings that can say this scene, trained and held out."""
    still = scene.motion == "still"
    if scene.kind is None:
        return phrases.SUBJECT_ONLY if still else phrases.SUBJECT_MOVES
    if scene.subject is None:
        return phrases.OBJECT_ONLY if still else phrases.OBJECT_MOVES
    return phrases.BOTH if still else phrases.BOTH_MOVE


def of_split(phrasings: tuple[str, ...], split: str) -> tuple[str, ...]:
    """Keep every fourth phrasing for "tune" and "final", the others for training."""
    return tuple(text for index, text in enumerate(phrasings) if (index % 4 == 2) == (split != "train"))


def _core(scene: Scene, generator: random.Random, split: str) -> str:
    return generator.choice(of_split(templates(scene), split))


def _with_context(core: str, noun: bool, scene: Scene, generator: random.Random, split: str) -> str:
    clauses: list[str] = []
    if generator.random() < 0.75:
        clauses.append(generator.choice(phrases.PLACES[scene.place]))
    if generator.random() < 0.5:
        clauses.append(generator.choice(phrases.LIGHTS[scene.light]))
    if scene.effect != "none":
        clauses.append(generator.choice(phrases.EFFECTS[scene.effect]))
    if generator.random() < 0.3:
        generator.shuffle(clauses)
    first = generator.random() < 0.15 and bool(clauses)
    text = core
    if first:
        text = f"{clauses.pop(0)}, {core}"
    for clause in clauses:
        text += generator.choice((" ", " ", " ", ", ")) + clause
    if scene.style == "plain" and (not noun or generator.random() < 0.7):
        return text
    frames = phrases.FRAMES if scene.style == "plain" else phrases.STYLES[scene.style]
    fitting = [frame for frame in of_split(frames, split) if (noun and not first) or frame.startswith("{}")]
    return generator.choice(fitting).format(text)


def _subject(scene: Scene, generator: random.Random, mode: str) -> str:
    if scene.subject is None:
        return ""
    kind = world().subject(scene.subject)
    adjective = generator.choice(phrases.SUBJECT_ADJECTIVES) if generator.random() < 0.2 else ""
    return world().phrase(generator.choice(kind.held_out_names if mode == "unseen_names" else kind.names), adjective)


def _object(scene: Scene, generator: random.Random, split: str, mode: str) -> str:
    if scene.kind is None:
        return ""
    kind = world().kind(scene.kind)
    if mode == "adversarial":
        return _disguised(kind, generator)
    adjective = generator.choice(phrases.OBJECT_ADJECTIVES) if generator.random() < 0.12 else ""
    return world().phrase(generator.choice(_names(kind, split, mode)), adjective)


def _names(kind: Kind, split: str, mode: str) -> tuple[str, ...]:
    if mode == "unseen_names":
        return kind.held_out_names
    if mode == "bare" and kind.bare_names:
        return kind.bare_names
    return kind.names + (kind.bare_names if split == "train" else ())


def _disguised(kind: Kind, generator: random.Random) -> str:
    ways = ["name", "misspelt"] + ["indirect"] * bool(kind.indirect)
    way = generator.choice(ways)
    if way == "indirect":
        return "the " + generator.choice(kind.indirect)
    if way == "name":
        return world().phrase(generator.choice(kind.held_out_names))
    name = generator.choice(kind.names)
    return world().phrase(name).removesuffix(name) + misspell(name, generator)


def misspell(name: str, generator: random.Random) -> str:
    """Change the longest word as a hurried typist would: swap two letters, drop one or double one."""
    word = max(name.split(), key=len)
    at = generator.randrange(1, max(2, len(word) - 2))
    slip = generator.choice(("swap", "drop", "double"))
    if slip == "swap":
        changed = word[:at] + word[at + 1 : at + 2] + word[at] + word[at + 2 :]
    else:
        changed = word[:at] + word[at + 1 :] if slip == "drop" else word[:at] + word[at] + word[at:]
    return name.replace(word, changed, 1)


def _finish(text: str, generator: random.Random) -> str:
    if generator.random() < 0.5:
        text = text[0].upper() + text[1:]
    return text + "." if generator.random() < 0.4 else text
