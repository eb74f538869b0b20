"""One demo generator with its text model and judges; each picture is drawn once, however many methods ask for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import torch
from torch import Tensor

from ...demo_world.judges import ConvolutionalClassifier, ImageTextEmbedding, SeparableClassifier, to_network
from ...demo_world.pictures import Eyes, PictureStates, load_eyes
from ...demo_world.render import render
from ...demo_world.sampling import DemoGenerator, contexts, load_encoder, load_generator, pad_states
from ...demo_world.scenes import Scene
from ...demo_world.weights import load_network, weights_path
from ...extraction.shards import load_sharded, loaded
from ...extraction.text_model import Progress, TextModel, token_states
from ...runners.by_value import ByValue
from ...runners.runner import Here, Runner
from ...storage.bundled import packaged_model
from ...storage.kept_parts import KeptParts
from .drawing import TENSORS, Answer, Ask, Part, Sampling, draw_part, part_key, picture_key, weights_digest
from .methods import UNSAFE_CONCEPTS, Given
from .prompts import PromptSet

BATCH = 32  # pictures, by hand
NOTHING_KEPT = KeptParts(None)


@dataclass(eq=False)
class DemoSession:
    """A generator ready to draw; `drawn` remembers pictures by everything that goes into them.

    `seconds` and `pictures` count the sampling of all pictures in `drawn`, wherever and in whichever run it was done; a
    picture remembered costs neither. The `runner` draws batches, what is `kept` is not drawn again, and `crew`, where there
    is one, encodes long lists of prompts in parts.
    """

    name: str
    generator: DemoGenerator
    text_model: TextModel
    judge: ConvolutionalClassifier
    second: SeparableClassifier
    embedding: ImageTextEmbedding
    reader: TextModel
    eyes: Eyes | None = None
    drawn: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0
    pictures: int = 0
    runner: Runner = field(default_factory=Here)
    kept: KeptParts = NOTHING_KEPT
    crew: TextModel | None = None
    _weights: str = field(default="", init=False, repr=False)
    _contexts: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def open(cls, name: str, runner: Runner | None = None, kept: KeptParts = NOTHING_KEPT) -> DemoSession:
        """Load a bundled generator, its text model and the judges; raises FileFormatError or EncoderError.

        With a runner, prompts are encoded and pictures drawn by it, in parts of which some may be kept already.
        """
        generator = load_generator(name)
        crew = None if runner is None else load_sharded(str(packaged_model(generator.encoder)), "auto", "auto", runner, kept)
        text_model = load_encoder(generator) if crew is None else loaded(crew.source)
        judge = cast(ConvolutionalClassifier, load_network(weights_path("judge"), "judge"))
        second = cast(SeparableClassifier, load_network(weights_path("second-judge"), "second-judge"))
        embedding = cast(ImageTextEmbedding, load_network(weights_path("embedding"), "embedding"))
        reader = text_model if generator.encoder == "all-MiniLM-L6-v2" else load_encoder(load_generator("image"))
        eyes = load_eyes() if generator.reads_pictures else None
        models = (generator, text_model, judge, second, embedding, reader, eyes)
        return cls(name, *models, runner=runner or Here(), kept=kept, crew=crew)

    @property
    def layer(self) -> int:
        """The text model's layer that conditions the generator."""
        return self.text_model.last_layer if self.generator.layer is None else self.generator.layer

    @property
    def fingerprint(self) -> str:
        """Identify the weights of generator and judges: 64 hexadecimal digits."""
        modules = [self.generator.network, self.generator.autoencoder, self.judge, self.second, self.embedding]
        return weights_digest(modules if self.eyes is None else [*modules, self.eyes.reader])

    def states(self, prompts: Sequence[str], progress: Progress | None = None) -> list[Tensor]:
        """Return the token states (T_i, D) that condition the generator."""
        return token_states(self.crew or self.text_model, prompts, self.layer, progress=progress)

    def seen(self, scenes: Sequence[Scene]) -> list[PictureStates]:
        """Return what the eyes say of pictures of scenes, each a picture of its own."""
        assert self.eyes is not None
        pictures = (to_network(torch.from_numpy(render(scene)[None])) for scene in scenes)
        return [self.eyes.look(picture) for picture in pictures]

    def given(self, one: PromptSet) -> Sequence[Given]:
        """Return what the generator is told: token states of prompts, or what the eyes say of pictures of their scenes."""
        return self.seen(one.scenes) if self.generator.reads_pictures else self.states(one.prompts)

    def caption_states(self, prompts: Sequence[str]) -> Tensor:
        """Return token states (N, T, D) as the image-text embedding reads captions."""
        return contexts(self.reader, list(prompts))

    def draw(
        self, given: Sequence[Given], seeds: Sequence[int], negative: str = "", sampling: Sampling | None = None
    ) -> Tensor:
        """Draw one picture per states (T_i, D), or picture, and seed: (N, 3, H, W), or (N, T, 3, H, W); each only once."""
        [answer] = self.draw_all([Ask(given, seeds, negative, sampling or Sampling())])
        return answer.pictures

    def draw_all(self, asks: Iterable[Ask]) -> Iterator[Answer]:
        """Yield an answer for every wanted ask, in order; later asks are drawn meanwhile, where there are workers for them.

        The batches are those of asking one after the other: which pictures are new to an ask depends on the asks before it,
        and on nothing that is drawn.
        """
        batches: dict[str, _Batch] = {}
        sent: list[_Batch] = []
        waiting: deque[tuple[list[str], list[_Batch]]] = deque()

        def parts() -> Iterator[Part]:
            for ask in asks:
                keys, own = self._cut(ask, batches)
                if not ask.wanted:
                    continue
                waiting.append((keys, own))
                for batch in {id(batch): batch for key in keys if (batch := batches.get(key)) is not None}.values():
                    if (part := batch.part) is None:
                        continue
                    batch.part = None
                    if (found := self.kept.read(batch.key, TENSORS)) is not None:
                        self._take(batch, found)
                        continue
                    sent.append(batch)
                    yield part

        def ready() -> Iterator[Answer]:
            while waiting and all(key in self.drawn for key in waiting[0][0]):
                keys, own = waiting.popleft()
                pictures = torch.stack([self.drawn[key] for key in keys])
                yield Answer(pictures, sum(len(batch.keys) for batch in own), sum(batch.seconds for batch in own))

        task = partial(draw_part, generator=self.generator) if isinstance(self.runner, Here) else draw_part
        for number, made in self.runner.run(task, parts()):
            self.kept.write(sent[number].key, made)
            self._take(sent[number], made)
            yield from ready()
        yield from ready()

    def _cut(self, ask: Ask, batches: dict[str, _Batch]) -> tuple[list[str], list[_Batch]]:
        """Return the keys of an ask's pictures, and the batches of those that are new, which are added to `batches`."""
        states = [one.last_hidden_state[0] if isinstance(one, PictureStates) else one for one in ask.given]
        keys = [picture_key(rows, seed, ask) for rows, seed in zip(states, ask.seeds, strict=True)]
        missing = [index for index, key in enumerate(keys) if key not in self.drawn and key not in batches]
        own = []
        for start in range(0, len(missing), BATCH):
            rows = missing[start : start + BATCH]
            part = self._part(ask, [states[row] for row in rows], [ask.seeds[row] for row in rows])
            batch = _Batch([keys[row] for row in rows], part, part_key(part) if self.kept.folder is not None else "")
            batches |= dict.fromkeys(batch.keys, batch)
            own.append(batch)
        return keys, own

    def _part(self, ask: Ask, states: list[Tensor], seeds: list[int]) -> Part:
        if not self._weights:
            self._weights = weights_digest([self.generator.network, self.generator.autoencoder])
        found = ByValue(positive=pad_states(states), negative=self._context(ask.negative))
        if ask.sampling.safe is not None:
            found["concept"] = self._context(", ".join(UNSAFE_CONCEPTS))
        return Part(self.name, self._weights, torch.get_num_threads(), found, tuple(seeds), ask.sampling)

    def _take(self, batch: _Batch, made: Mapping[str, Tensor]) -> None:
        """Remember a batch's pictures."""
        batch.seconds = float(made["seconds"])
        self.seconds += batch.seconds
        self.pictures += len(batch.keys)
        self.drawn |= dict(zip(batch.keys, made["pictures"], strict=True))

    def _context(self, text: str) -> Tensor:
        """Return what the generator reads of a text (1, T, D); each text is encoded once."""
        if text not in self._contexts:
            self._contexts[text] = contexts(self.text_model, [text], self.generator.layer)
        return self._contexts[text]


@dataclass(eq=False)
class _Batch:
    """A part on its way: the keys of its pictures, what goes in until it is handed out, what it is kept as, and how long it
    took.
    """

    keys: list[str]
    part: Part | None
    key: str
    seconds: float = 0.0
