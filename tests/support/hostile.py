"""Small files that stand for much: what would take gigabytes or hours if it were read to its end. Made here, kept nowhere."""

from __future__ import annotations

import io
import json
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save

from safety_steer.directions.source import SafetyDirection
from safety_steer.evaluation.comfyui.frames import pixel_digest
from safety_steer.evaluation.comfyui.prompts import read_prompt_file
from safety_steer.negation.patch import WeightPatch
from safety_steer.storage import container
from safety_steer.storage.captioned_pictures import read_picture
from safety_steer.storage.prompt_files import read_pairs, read_prompts
from safety_steer.workflow import add, read_workflow
from safety_steer.workflow.files.chunks import EXIF_IFD, PNG

from . import builders
from .workflows.sketch import Json, loader, node, sampler, subgraph, text, workflow

MIB = 2**20
Made = bytes | tuple[bytes, int]  # a file's bytes, or how it begins and how large it is, zeros behind
Case = tuple[str, Callable[[], Made], Callable[[Path], object], str]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def compressed_texts() -> bytes:
    """A PNG of 60 texts that unpack to 31 MiB each."""
    one = _chunk(b"zTXt", b"x\0\0" + zlib.compress(b"{" + b" " * (31 * MIB), 9))
    return PNG + one * 60


def _webp(block: bytes) -> bytes:
    body = b"WEBPEXIF" + struct.pack("<I", len(block)) + block
    return b"RIFF" + struct.pack("<I", len(body)) + body


def overlapping_tags() -> bytes:
    """A WebP whose thousand tags name the same 20 MiB."""
    start = 10 + 12 * 1000
    tags = struct.pack("<HHII", 0x010F, 2, 20 * MIB, start) * 1000
    return _webp(b"II*\0" + struct.pack("<IH", 8, 1000) + tags + bytes(20 * MIB))


def nested_directories() -> bytes:
    """A WebP in which every twelfth byte is another directory of a thousand tags."""
    entries = b"".join(struct.pack("<HHII", EXIF_IFD, 4, 1, 8 + 2 + 12 * number) for number in range(200_000))
    return _webp(b"II*\0" + struct.pack("<IH", 8, 1000) + entries)


def wide_table() -> bytes:
    """A table of 100,000 columns, whose every row is filled up to them."""
    return ("prompt," + ",".join(map(str, range(100_000)))).encode() + b"\n" + b"a kite\n" * 5_000


def short_lines() -> bytes:
    """A list of 30 million prompts of one letter."""
    return b"a\n" * (30 * MIB)


def empty_lists() -> bytes:
    """A workflow of ten million empty lists."""
    return b'{"nodes": [' + b"[]," * (10 * MIB) + b"[]]}"


def a_pair_of_lists() -> bytes:
    """A line of pairs that is twenty million empty lists."""
    return b'{"safe": [' + b"[]," * (20 * MIB) + b"[]]}"


def one_wide_letter() -> bytes:
    """A list at its largest, whose one wide letter makes every other four bytes long."""
    return "傘".encode() + "\U0001f9f5".encode() + b" a" * (31 * MIB)


def many_pixels() -> bytes:
    """A picture of one colour with 100 million pixels, a few kilobytes."""
    from PIL import Image

    stream = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(stream, "PNG")
    return stream.getvalue()


def many_numbers() -> Made:
    """A direction file as large as is read, of one tensor of the smallest numbers, with a wrong hash."""
    count = 2**24 * 15
    tensor = {"dtype": "F8_E4M3", "shape": [15, 2**24], "data_offsets": [0, count]}
    header = json.dumps({"__metadata__": {container.METADATA_KEY: "{}"}, "vectors": tensor}).encode()
    return struct.pack("<Q", len(header)) + header, 8 + len(header) + count


def many_places() -> bytes:
    """A patch file, rightly signed, that turns 48 million weights of three layers."""
    tensors = {f"places_{number}": torch.ones(2**24, dtype=torch.uint8) for number in range(3)}
    tensors |= {f"signs_{number}": torch.zeros(32, dtype=torch.uint8) for number in range(3)}
    layers = [{"name": str(number), "shape": [4096, 4096]} for number in range(3)]
    document = {"kind": "weight-patch", "schema": 1, "model": "m", "which": "all", "tau": 0.5, "weighted": True, "pairs": 1}
    return _container({**document, "alpha": -1.0, "layers": layers}, tensors)


def many_anchors() -> bytes:
    """A direction file, rightly signed, with 16 million empty prompts."""
    with tempfile.TemporaryDirectory() as folder:
        builders.small_direction().save(Path(folder) / "a.safetensors")
        document, tensors = container.read(Path(folder) / "a.safetensors")
    return _container(document, {**tensors, "anchors": torch.full((2**24,), 10, dtype=torch.uint8)})


def _container(document: Json, tensors: dict[str, torch.Tensor]) -> bytes:
    signed = {**document, "content_hash": container.content_hash(document, tensors)}
    return save(tensors, {container.METADATA_KEY: json.dumps(signed)})


def doubling() -> Json:
    """A workflow in which each of 30 subgraphs holds the next one twice: a billion nodes, if one goes through them all."""
    levels = [
        subgraph(f"s{n}", "", "CONDITIONING:CONDITIONING<1.0 B:CONDITIONING<2.0", *(_pair(f"s{n + 1}"))) for n in range(30)
    ]
    last = subgraph("s30", "", "CONDITIONING:CONDITIONING<1.0 B:CONDITIONING<1.0", node(1, "Note", "", "CONDITIONING"))
    first = node(2, "s0", "", "CONDITIONING:CONDITIONING B:CONDITIONING")
    return workflow(loader(), first, sampler(3, "1.0", "2.0"), subgraphs=(*levels, last))


def _pair(kind: str) -> tuple[Json, Json]:
    gives = "CONDITIONING:CONDITIONING B:CONDITIONING"
    return node(1, kind, "", gives), node(2, kind, "", gives)


def crossing(depth: int = 24, wide: int = 6) -> Json:
    """A workflow whose prompt comes through subgraphs in each other, all of whose outputs are made from all of the next's."""
    sockets = " ".join(f"c{n}:CONDITIONING" for n in range(wide))
    ends = " ".join(f"c{n}:CONDITIONING<2.0" for n in range(wide))
    takes = " ".join(f"c{n}:CONDITIONING<1.{n}" for n in range(wide))
    levels = [
        subgraph(f"s{n}", "", ends, node(1, f"s{n + 1}", "", sockets), node(2, "ConditioningCombine", takes, "CONDITIONING"))
        for n in range(depth)
    ]
    inner = node(2, "CLIPTextEncode", "clip:CLIP<1.1", "CONDITIONING")
    last = subgraph(f"s{depth}", "", ends, loader(), inner)
    return workflow(loader(), text(5, "1.1"), node(2, "s0", "", sockets), sampler(3, "1.0", "2.0"), subgraphs=(*levels, last))


def wide(count: int = 150_000) -> Json:
    """A workflow whose prompt takes a CLIP by so many inputs: within the limits, and more than a function is handed at once."""
    data = workflow(loader(), text(2, "1.1"), sampler(3, "1.0", "2.0"))
    first = 1 + len(data["links"])
    data["links"] += [[first + number, 1, 1, 2, 1 + number, "CLIP"] for number in range(count)]
    data["nodes"][1]["inputs"] += [{"name": f"i{number}", "type": "CLIP", "link": first + number} for number in range(count)]
    return data


def _json(make: Callable[[], Json]) -> Callable[[], bytes]:
    return lambda: json.dumps(make()).encode()


def _added(path: Path) -> object:
    return add(read_workflow(path).data)


CASES: tuple[Case, ...] = (
    ("a.png", compressed_texts, read_workflow, "take more than"),
    ("b.webp", overlapping_tags, read_workflow, "overlap"),
    ("c.webp", nested_directories, read_workflow, "more than 8 directories"),
    ("d.csv", wide_table, read_prompt_file, "100,001 columns"),
    ("e.csv", wide_table, read_pairs, "100,001 columns"),
    ("f.txt", short_lines, read_prompts, "more than 200,000 rows"),
    ("g.txt", short_lines, read_prompt_file, "more than 200,000 rows"),
    ("h.json", empty_lists, _added, "values"),
    ("i.jsonl", a_pair_of_lists, read_pairs, "line 1 is not JSON"),
    ("j.txt", one_wide_letter, read_prompts, "characters"),
    ("k.png", many_pixels, pixel_digest, "10000 x 10000 pixels"),
    ("l.png", many_pixels, read_picture, "10000 x 10000 pixels"),
    ("n.safetensors", many_numbers, SafetyDirection.load, "is damaged"),
    ("o.safetensors", many_places, WeightPatch.load, "at most 33,554,432 weights"),
    ("p.safetensors", many_anchors, SafetyDirection.load, "more than 200,000"),
    ("m.json", _json(doubling), _added, "wherever they are used"),
)


def written(path: Path, data: Made) -> Path:
    """Write a file and return its path."""
    head, size = data if isinstance(data, tuple) else (data, len(data))
    path.write_bytes(head)
    with path.open("rb+") as stream:
        stream.truncate(size)
    return path
