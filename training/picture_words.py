"""The words that the reader of pictures knows: their order, which of them is true of a scene, and their states in captions."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from safety_steer.demo_world import phrases
from safety_steer.demo_world.judges import labels
from safety_steer.demo_world.kinds import world
from safety_steer.demo_world.picture_reader import LONGEST
from safety_steer.demo_world.scenes import EFFECTS, LIGHTS, PLACES, STYLES, UNSAFE_EFFECTS, Scene
from safety_steer.extraction.text_model import TextModel, token_ids, token_states

ORDER = ("subject", "object", "place", "light", "effect", "style")  # of a caption
SAID = {"subject": 1.0, "object": 1.0, "place": 0.5, "light": 0.3, "effect": 0.3, "style": 0.3}
LINK = "next to"
CAPTIONS = 8  # in which a word is heard
FRAME = 2 + len(LINK.split())


@dataclass(frozen=True)
class Head:
    """A question about a picture: its words, for each class of the judges' head the word's number, the last for none, and the
    numbers of the harmless words.
    """

    name: str
    words: tuple[str, ...]
    answers: tuple[int, ...]
    harmless: tuple[int, ...]


def heads() -> list[Head]:
    """Return what can be said of a picture, in the order of the reader's words."""
    lists: list[tuple[str, int, list[str]]] = [
        (name, 0, [world().phrase(kind.names[0]) for kind in group])
        for name, group in (("object", world().kinds), ("subject", world().subjects))
    ]
    lists += [
        ("place", 0, [phrases.PLACES[name][0] for name in PLACES]),
        ("light", 0, [phrases.LIGHTS[name][0] for name in LIGHTS]),
        ("effect", 1, [phrases.EFFECTS[name][0] for name in EFFECTS[1:]]),
        ("style", 1, [phrases.STYLES[name][1].format("").strip(", ") for name in STYLES[1:]]),
    ]
    unsafe = {
        "object": [kind.unsafe for kind in world().kinds],
        "effect": [effect in UNSAFE_EFFECTS for effect in EFFECTS[1:]],
    }
    found = []
    for name, unsaid, words in lists:
        numbers = range(len(words))
        answers = (len(words), *numbers) if unsaid else (*numbers, len(words))
        harmless = tuple(number for number in numbers if name not in unsafe or not unsafe[name][number])
        found.append(Head(name, tuple(words), answers, harmless))
    return found


def true_words(scenes: list[Scene]) -> list[Tensor]:
    """Return per head the number (N,) of the word that is true of each scene, the number of words for none."""
    truth = labels(scenes)
    return [torch.tensor(head.answers)[truth[head.name]] for head in heads()]


def word_states(text_model: TextModel) -> tuple[Tensor, Tensor]:
    """Return each word's mean states (W, 8, D) in captions, zero rows at the end, and those of every caption's frame (4, D).

    A word is heard in eight made-up captions, whose other words are harmless. The frame begins and ends a caption, and says
    "next to".
    """
    known = {head.name: head for head in heads()}
    first = dict(zip(known, [0, *torch.tensor([len(head.words) for head in known.values()]).cumsum(0).tolist()], strict=False))
    plans = [plan for head in known.values() for number in range(len(head.words)) for plan in _captions(known, head, number)]
    lengths: dict[str, int] = {}
    total = torch.zeros(sum(len(head.words) for head in known.values()), LONGEST, text_model.identity.width)
    counts = torch.zeros(*total.shape[:2], 1)
    frame = torch.zeros(FRAME, total.shape[2])
    for start in range(0, len(plans), 256):
        chunk = [_spelt(known, plan) for plan in plans[start : start + 256]]
        texts = [" ".join(word for _, _, word in parts) for parts in chunk]
        for states, parts in zip(token_states(text_model, texts, text_model.last_layer), chunk, strict=True):
            at = 1
            for name, number, word in parts:
                if word not in lengths:
                    lengths[word] = len(token_ids(text_model, [word])[0]) - 2
                rows = states[at : at + lengths[word]]
                at += lengths[word]
                if name == LINK:
                    frame[1:-1] += rows
                else:
                    row, shown = first[name] + number, min(len(rows), LONGEST)
                    total[row, :shown] += rows[:shown]
                    counts[row, :shown] += 1
            frame[0] += states[0]
            frame[-1] += states[-1]
    return total / counts.clamp(min=1), frame / len(plans)


def _captions(known: dict[str, Head], head: Head, number: int) -> list[dict[str, int]]:
    """Return captions that say a word among harmless ones: the number of a word per head they say something of."""
    generator = random.Random(f"words|{head.name}|{number}")
    plans = []
    for _ in range(CAPTIONS):
        plan = {name: generator.choice(known[name].harmless) for name in ORDER if generator.random() < SAID[name]}
        plans.append(plan | {head.name: number})
    return plans


def _spelt(known: dict[str, Head], plan: dict[str, int]) -> list[tuple[str, int, str]]:
    """Return a caption's parts in order: which head, which word of it, and the word."""
    parts: list[tuple[str, int, str]] = []
    for name in ORDER:
        if name == "object":
            parts.append((LINK, 0, LINK))
        if name in plan:
            parts.append((name, plan[name], known[name].words[plan[name]]))
    return parts
