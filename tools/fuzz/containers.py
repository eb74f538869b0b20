"""The four kinds of safetensors files: directions, aligned directions (which kept fits are too), patches and refusals.

The first byte chooses: the rest as a file, a sound file with damaged bytes, or a sound file whose document and tensors are
edited and signed again, as a careful forger would do it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from safety_steer.directions.aligned import AlignedDirection
from safety_steer.directions.source import SafetyDirection
from safety_steer.errors import MismatchError
from safety_steer.negation.patch import WeightPatch
from safety_steer.refusal.head import RefusalHead
from safety_steer.storage import container

from . import samples
from .stream import Stream, edited
from .target import Target, folder, given, refusing, whole

Loader = Callable[[Any], Any]
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.uint8, torch.int64, torch.float8_e4m3fn)
FILLS = (0.0, 1.0, -1.0, float("nan"), float("inf"), 1e30, 448.0, 255.0)
FILE = "fuzzed.safetensors"


def _loading(kind: str, loader: Loader, use: Callable[[Any], None]) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        path = given(FILE, _file(kind, data))
        with refusing():
            found = loader(path)
            use(found)
            again = folder() / "again.safetensors"
            found.save(again)
            assert again.read_bytes(), "nothing was written"
        whole(path, None)

    return run


def _file(kind: str, data: bytes) -> bytes:
    stream = Stream(data)
    mode = stream.byte() % 4
    if mode == 0:
        return stream.rest()
    sound, document, tensors = _sound(kind)
    if mode == 1:
        return _damaged(sound, stream)
    document = edited(document, stream) if mode == 2 or stream.byte() % 2 else document
    tensors = _other_tensors(tensors, stream) if mode == 3 else dict(tensors)
    return _signed(document, tensors)


def as_edited(kind: str, changes: Mapping[str, Any]) -> bytes:
    """Return an input that is a sound file with other values in its document, objects within it changed alike, signed."""
    _, document, tensors = _sound(kind)
    merged = {key: {**document[key], **value} if isinstance(value, dict) else value for key, value in changes.items()}
    return b"\0" + _signed({**document, **merged}, dict(tensors))


@cache
def _sound(kind: str) -> tuple[bytes, dict[str, Any], dict[str, Tensor]]:
    path = folder() / f"{kind}.safetensors"
    samples.small(kind).save(path)
    return path.read_bytes(), *container.read(path)


def _damaged(sound: bytes, stream: Stream) -> bytes:
    """Change bytes at places that the input names; half of the changes fall on the header."""
    result = bytearray(sound)
    (header,) = struct.unpack("<Q", sound[:8])
    while not stream.ended:
        where, kind = stream.byte() << 8 | stream.byte(), stream.byte()
        place = where % (8 + header if kind % 2 else len(sound))
        if kind < 200:
            result[place : place + 1] = bytes([stream.byte()])
        elif kind < 225:
            result[place:place] = stream.take(1 + kind % 8)
        elif kind < 250:
            del result[place : place + 1 + kind % 32]
        else:
            del result[place:]
    return bytes(result)


def _other_tensors(tensors: Mapping[str, Tensor], stream: Stream) -> dict[str, Tensor]:
    found = dict(tensors)
    for _ in range(1 + stream.below(4)):
        name = sorted(found)[stream.below(len(found))] if found else "vectors"
        kind = stream.byte() % 6
        if kind == 0:
            found.pop(name, None)
        elif kind == 1:
            shape = [stream.below(9) for _ in range(stream.below(4))]
            found[name] = torch.full(shape, FILLS[stream.byte() % len(FILLS)]).to(DTYPES[stream.byte() % len(DTYPES)])
        elif kind == 2:
            found[stream.take(stream.below(20)).decode("latin-1")] = torch.zeros(stream.below(3))
        elif kind == 3 and name in found and found[name].numel():
            flat = found[name].clone().flatten().view(torch.uint8)
            flat[stream.below(len(flat))] = stream.byte()
            found[name] = flat.view(found[name].dtype).view(found[name].shape)
        elif kind == 4 and name in found and found[name].dtype == torch.uint8:
            found[name] = torch.tensor(list(stream.take(stream.below(40))), dtype=torch.uint8)
        elif kind == 5 and name in found:
            found[name] = found[name].to(DTYPES[stream.byte() % len(DTYPES)])
    return found


def _signed(document: Any, tensors: dict[str, Tensor]) -> bytes:
    """Return a file with a right hash; where there can be none, with a wrong one."""
    if isinstance(document, dict):
        try:
            document["content_hash"] = container.content_hash(document, tensors)
        except (ValueError, RecursionError):
            document["content_hash"] = "0" * 64
    try:
        text = json.dumps(document)
    except RecursionError:
        text = "[" * 500
    header: dict[str, Any] = {"__metadata__": {container.METADATA_KEY: text}}
    if all(name.isascii() for name in tensors):
        return save(tensors, header["__metadata__"])
    return struct.pack("<Q", len(json.dumps(header))) + json.dumps(header).encode()


def _use_direction(found: SafetyDirection) -> None:
    states = torch.ones(2, found.width)
    found.score(states)
    found.probe(states)
    assert found.content_hash


def _use_aligned(found: AlignedDirection) -> None:
    """What a kept fit is asked first: whether it belongs to an encoder that gives these states."""
    for name, space in found.spaces.items():
        for width in (space.width, space.width + 1):
            try:
                found.check_encoder(name, torch.ones(len(found.probe_prompts), width))
            except MismatchError:
                continue


def _use_patch(found: WeightPatch) -> None:
    assert 0 <= found.count
    assert 0 <= found.share <= 1


def _use_refusal(found: RefusalHead) -> None:
    assert found.prober.log_odds(torch.ones(1, found.width)).shape == (1,)


def _seeds(kind: str) -> Iterator[bytes]:
    yield b"\0" + _sound(kind)[0]
    yield b"\1\0\x20\1\xff"
    yield b"\2\1\3\7\5"
    yield b"\3\0\3\1\2\2"


def _target(kind: str, loader: Loader, use: Callable[[Any], None]) -> Target:
    return Target(kind, _loading(kind, loader, use), lambda: _seeds(kind), longest=8192)


TARGETS = (
    _target("direction", SafetyDirection.load, _use_direction),
    _target("aligned", AlignedDirection.load, _use_aligned),
    _target("patch", WeightPatch.load, _use_patch),
    _target("refusal", RefusalHead.load, _use_refusal),
)
