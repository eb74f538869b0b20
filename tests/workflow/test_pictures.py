"""Workflows in pictures and videos: found as ComfyUI and other packs save them, and nothing hostile is unpacked."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from support.workflows.sketch import Json, plain

from safety_steer.cli import main
from safety_steer.errors import DataError
from safety_steer.workflow import add, read_workflow
from safety_steer.workflow.files import chunks
from safety_steer.workflow.files.pictures import embedded_text

LIMIT = 2**20
PROMPT: Json = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": "ein Drache über Köln"}},
    "3": {"class_type": "KSampler", "inputs": {"model": ["1", 0], "positive": ["2", 0]}},
}
EDITOR, API = json.dumps(plain()), json.dumps(PROMPT)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*texts: bytes) -> bytes:
    """A PNG of a hostile size: nobody may unpack its pixels to read what stands beside them."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 6, 0, 0, 0))
    return chunks.PNG + head + b"".join(texts) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def text_chunk(name: str, value: str) -> bytes:
    return chunk(b"tEXt", name.encode() + b"\0" + value.encode())


def exif(tags: dict[int, bytes], within: dict[int, bytes] | None = None, order: str = "<") -> bytes:
    """An EXIF block with texts, and with a second directory for user comments."""
    count = len(tags) + bool(within)
    first, blob = 8, b""
    inner = first + 2 + 12 * count + 4
    start = inner + (2 + 12 * len(within) + 4 if within else 0)

    def directory(values: dict[int, bytes], kind: int, more: bytes = b"") -> bytes:
        nonlocal blob
        found = struct.pack(f"{order}H", len(values) + bool(more))
        for tag, value in values.items():
            found += struct.pack(f"{order}HHII", tag, kind, len(value), start + len(blob))
            blob += value
        return found + more + bytes(4)

    link = struct.pack(f"{order}HHII", chunks.EXIF_IFD, chunks.LONG, 1, inner) if within else b""
    both = directory(tags, chunks.ASCII, link) + (directory(within, chunks.UNDEFINED) if within else b"")
    return {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", first) + both + blob


def webp(block: bytes, *, before: bytes = b"") -> bytes:
    body = b"WEBP" + before + b"EXIF" + struct.pack("<I", len(block)) + block + b"\0" * (len(block) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg(block: bytes) -> bytes:
    return (
        b"\xff\xd8\xff\xe0\0\4ab"
        + b"\xff\xe1"
        + struct.pack(">H", len(block) + 8)
        + b"Exif\0\0"
        + block
        + b"\xff\xda\0\2\xff\xd9"
    )


MAKE, MODEL, DESCRIPTION = 0x010F, 0x0110, 0x010E
VHS = json.dumps({"prompt": API, "workflow": plain(), "CreationTime": "now"})

PICTURES: dict[str, tuple[str, bytes, tuple[str, ...]]] = {
    "png": (".png", png(text_chunk("prompt", API), text_chunk("workflow", EDITOR)), ("workflow", "prompt")),
    "png, compressed": (".png", png(chunk(b"zTXt", b"workflow\0\0" + zlib.compress(EDITOR.encode()))), ("workflow",)),
    "png, international": (".png", png(chunk(b"iTXt", b"prompt\0\0\0de\0name\0" + API.encode())), ("prompt",)),
    "png, both": (".png", png(chunk(b"iTXt", b"prompt\0\1\0\0\0" + zlib.compress(API.encode()))), ("prompt",)),
    "png, animated": (".png", png(chunk(b"comf", b"workflow\0" + EDITOR.encode())), ("workflow",)),
    "png of another name": (".jpg", png(text_chunk("workflow", EDITOR)), ("workflow",)),
    "webp": (
        ".webp",
        webp(
            exif({MODEL: b"prompt:" + API.encode() + b"\0", MAKE: b"workflow:" + EDITOR.encode() + b"\0"}),
            before=b"VP8X\3\0\0\0abc\0",
        ),
        ("workflow", "prompt"),
    ),
    "webp, another pack": (".webp", webp(exif({MAKE: b"Prompt: " + API.encode()}, order=">")), ("prompt",)),
    "jpeg": (".jpeg", jpeg(exif({DESCRIPTION: b"Workflow:" + EDITOR.encode()})), ("workflow",)),
    "jpeg, comment": (".jpg", jpeg(exif({}, {chunks.USER_COMMENT: b"ASCII\0\0\0" + VHS.encode()})), ("workflow", "prompt")),
    "jpeg, wide": (".jpg", jpeg(exif({}, {chunks.USER_COMMENT: b"UNICODE\0" + API.encode("utf-16-be")})), ("prompt",)),
    "jpeg, wide and low": (".jpg", jpeg(exif({}, {chunks.USER_COMMENT: b"UNICODE\0" + API.encode("utf-16-le")})), ("prompt",)),
}


@pytest.mark.parametrize("name", PICTURES)
def test_what_a_picture_holds_is_read(name: str, tmp_path: Path) -> None:
    suffix, content, names = PICTURES[name]
    path = tmp_path / f"picture{suffix}"
    path.write_bytes(content)
    found = embedded_text(path, LIMIT)
    assert tuple(found) == names
    assert {one: json.loads(text) for one, text in found.items()} == {
        one: {"workflow": plain(), "prompt": PROMPT}[one] for one in names
    }
    assert read_workflow(path).read == names[0]


BAD: dict[str, tuple[bytes, str]] = {
    "a large text": (png(text_chunk("workflow", "x" * 2**21)), "takes 2,097,161 bytes"),
    "a bomb": (png(chunk(b"zTXt", b"workflow\0\0" + zlib.compress(bytes(2**24)))), "unpacks to more than 1,048,576 bytes"),
    "another bomb": (png(chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(bytes(2**24)))), "unpacks to more than"),
    "broken packing": (png(chunk(b"zTXt", b"workflow\0\0abc")), "cannot be unpacked"),
    "a claim": (chunks.PNG + struct.pack(">I", 2**31 - 1) + b"tEXtworkflow", "takes 2,147,483,647 bytes"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\n", "no PNG, WebP, JPEG, MP4 or WebM"),
    "nothing": (b"", "no PNG, WebP, JPEG, MP4 or WebM"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_is_one_clear_error(name: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(BAD[name][0])
    with pytest.raises(DataError, match=rf"'picture\.png' cannot be used.*{BAD[name][1]}"):
        embedded_text(path, LIMIT)


@pytest.mark.parametrize("name", PICTURES)
def test_a_cut_picture_is_read_or_refused(name: str, tmp_path: Path) -> None:
    suffix, content, names = PICTURES[name]
    path = tmp_path / f"picture{suffix}"
    for length in [*range(16, 200), *range(200, len(content), 97)]:
        path.write_bytes(content[:length])
        try:
            assert set(embedded_text(path, LIMIT)) <= set(names)
        except DataError as error:
            assert "cannot be" in str(error)  # noqa: PT017 (either is right)


def test_directories_of_exif_that_lead_in_a_ring_are_walked_once() -> None:
    ring = b"II*\0" + struct.pack("<IH", 8, 1) + struct.pack("<HHII", chunks.EXIF_IFD, chunks.LONG, 1, 8)
    assert list(chunks.exif_texts(ring)) == []


def test_the_prompt_is_read_where_the_workflow_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(text_chunk("workflow", "{}"), text_chunk("prompt", API)))
    assert (read_workflow(path).read, read_workflow(path).kind) == ("prompt", "api")
    path.write_bytes(png(text_chunk("parameters", "a kite")))
    with pytest.raises(DataError, match="holds no workflow"):
        read_workflow(path)
    path.write_bytes(png(text_chunk("prompt", "a kite")))
    with pytest.raises(DataError, match=r"The prompt in 'a\.png' is not JSON"):
        read_workflow(path)


def run(capsys: Any, *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["add", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_a_picture_becomes_a_workflow_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, beside = tmp_path / "picture.png", tmp_path / "picture.json"
    path.write_bytes(PICTURES["png"][1])
    code, printed, _ = run(capsys, path, "--check")
    assert (code, list(tmp_path.iterdir())) == (0, [path])
    assert printed.splitlines() == [
        "picture.png: 1 sampler: 1 would be steered",
        "  read from its workflow, as the editor saved it",
        "  KSampler #3: would be steered",
    ]
    code, printed, _ = run(capsys, path)
    assert code == 0
    assert f"  written to {beside}" in printed.splitlines()
    assert json.loads(beside.read_text()) == add(plain()).data
    assert path.read_bytes() == PICTURES["png"][1]
    assert "is there already" in run(capsys, path)[2]
    assert "is the name of a picture" in run(capsys, path, "-o", path)[2]
    assert run(capsys, beside, "--remove", "-o", beside)[0] == 0
    assert beside.read_text() == EDITOR
    code, printed, _ = run(capsys, path, "-o", tmp_path / "other.json", "--json")
    assert json.loads(printed)["files"][0]["read"] == "workflow"


def test_a_folder_with_pictures_gives_a_line_for_those_with_a_workflow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for name in ("a.png", "b.png", "b.webp"):
        (source / name).write_bytes(PICTURES["webp" if name.endswith("webp") else "png"][1])
    (source / "a.json").write_text(EDITOR)
    (source / "plain.png").write_bytes(png())
    code, printed, _ = run(capsys, source, "-o", out)
    lines = printed.splitlines()
    assert code == 0
    assert [line.partition(":")[0] for line in lines] == ["a.json", "a.png", "b.png", "b.webp"]
    assert ["comes from another file" in line for line in lines] == [False, True, False, True]
    assert sorted(path.name for path in out.iterdir()) == ["a.json", "b.json"]


def test_a_video_without_the_library_for_it_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"\0\0\0\x20ftypisom" + bytes(40))
    with pytest.raises(DataError, match="needs PyAV"):
        read_workflow(path)


def test_who_stops_listening_gets_no_traceback(tmp_path: Path) -> None:
    for number in range(3000):
        (tmp_path / f"{number:04}-{'x' * 60}.json").write_text("{}")
    (tmp_path / "first.json").write_text(EDITOR)
    script = "import sys; from safety_steer.cli import main; sys.exit(main(sys.argv[1:]))"
    command = f"'{sys.executable}' -c '{script}' add '{tmp_path}' --check | head -1; exit ${{PIPESTATUS[0]}}"
    root = Path(__file__).parents[2]
    answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=root, check=False)
    assert (answer.returncode, answer.stderr, answer.stdout.count("\n")) == (0, "", 1)
