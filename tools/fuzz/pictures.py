"""Pictures and videos with workflows in them, and the pixels of what a server drew."""

from __future__ import annotations

import io
import json
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from safety_steer.evaluation.comfyui.frames import pixel_digest
from safety_steer.storage import captioned_pictures, image_files, picture_tuples
from safety_steer.workflow import read_workflow
from safety_steer.workflow.files.chunks import PNG
from safety_steer.workflow.files.pictures import embedded_text

from .stream import Stream
from .target import Target, given, refusing
from .workflows import sound

LIMIT = 2**20
MOST_PIXELS = 2**14
ENDINGS = (".png", ".webp", ".jpg", ".mp4", ".webm", ".gif", ".bmp")
TEXT_KINDS = (b"tEXt", b"zTXt", b"iTXt", b"comf", b"IDAT")
NAMES = (b"workflow", b"prompt", b"comment", b"Workflow", b"x")
VIDEOS = find_spec("av") is not None


def _embedded(data: bytes) -> None:
    """Read the texts of a picture: the input as a file, or chunks and tags that are well-formed around hostile contents."""
    stream = Stream(data)
    mode = stream.byte() % 4
    made = (lambda one: one.rest(), _png, _webp, _jpeg)[mode](stream)
    path = given("picture.png", made)
    with refusing():
        found = embedded_text(path, LIMIT)
        assert all(len(text) <= LIMIT for text in found.values())
    with refusing():
        read_workflow(path)


def _text(stream: Stream) -> bytes:
    """Return a text: the input's own bytes, or a sound workflow, whole or cut."""
    kind = stream.byte()
    if kind % 3 == 0:
        return stream.take(stream.below(64))
    whole = json.dumps(sound()[kind % len(sound())]).encode()
    return whole if kind % 3 == 1 else whole[: stream.below(len(whole))]


def _png(stream: Stream) -> bytes:
    made = [PNG]
    while not stream.ended and len(made) < 40:
        kind, name, text = TEXT_KINDS[stream.byte() % len(TEXT_KINDS)], NAMES[stream.byte() % len(NAMES)], _text(stream)
        if kind == b"zTXt":
            text = b"\0" + zlib.compress(text, 1)
        elif kind == b"iTXt":
            packed = stream.byte() % 2
            text = bytes((packed, 0)) + b"\0\0" + (zlib.compress(text, 1) if packed else text)
        body = name + b"\0" + text
        made.append(struct.pack(">I", (len(body) + stream.byte() // 255 * 9) % 2**32) + kind + body + bytes(4))
    return b"".join(made)


def _exif(stream: Stream) -> bytes:
    """Return an EXIF block of tags with places, lengths and directories that the input decides."""
    order = "<>"[stream.byte() % 2]
    tags, blob = b"", b""
    count = stream.below(12)
    start = 8 + 2 + 12 * count + 4
    for _ in range(count):
        text = (b"", b"workflow:", b"Prompt: ", b"UNICODE\0", b"ASCII\0\0\0")[stream.byte() % 5] + _text(stream)
        tag = (0x010F, 0x0110, 0x9286, 0x8769, 0x9C9B)[stream.byte() % 5]
        kind, odd = (2, 7, 1, 4)[stream.byte() % 4], stream.byte()
        place = start + len(blob) if odd % 4 else stream.below(2**16)
        length = len(text) if odd % 8 else 2**32 - 1
        tags += struct.pack(f"{order}HHII", tag, kind, length, place)
        blob += text
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, count) + tags + bytes(4) + blob


def _webp(stream: Stream) -> bytes:
    block = _exif(stream)
    body = b"WEBP" + stream.take(stream.below(12)) + b"EXIF" + struct.pack("<I", len(block)) + block
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _jpeg(stream: Stream) -> bytes:
    block = b"Exif\0\0" + _exif(stream)
    parts = [b"\xff\xd8\xff\xe1", struct.pack(">H", min(len(block) + 2, 0xFFFF)), block]
    comment = _text(stream)
    return b"".join([*parts, b"\xff\xfe", struct.pack(">H", min(len(comment) + 2, 0xFFFF)), comment, b"\xff\xd9"])


def _videos(data: bytes) -> None:
    """Read the texts of a video; nothing where PyAV is missing."""
    path = given("video.mp4", data)
    with refusing():
        embedded_text(path, LIMIT)


@contextmanager
def _small() -> Iterator[None]:
    """Let pictures be small, so that an input takes no second: what the largest take is measured in tests/fuzz."""
    before = image_files.MAX_PIXELS
    image_files.MAX_PIXELS = picture_tuples.MAX_PIXELS = MOST_PIXELS
    try:
        yield
    finally:
        image_files.MAX_PIXELS = picture_tuples.MAX_PIXELS = before


def _pixels(data: bytes) -> None:
    """Read the pixels of what a server sent or a user's folder holds."""
    stream = Stream(data)
    path = given(f"drawn{ENDINGS[stream.byte() % len(ENDINGS)]}", stream.rest())
    with warnings.catch_warnings(), _small():
        warnings.simplefilter("ignore")
        with refusing():
            pixel_digest(path)
        if path.suffix not in (".mp4", ".webm"):
            with refusing():
                assert picture_tuples.read_picture(path).shape[-1] == 3
            with refusing():
                assert captioned_pictures.read_picture(path).shape[-1] == 3


def small_picture(kind: str) -> bytes:
    """Return a picture of 3 x 2 pixels in a format of Pillow."""
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (3, 2), (20, 220, 20)).save(stream, kind)
    return stream.getvalue()


def small_video(kind: str) -> bytes:
    """Return a video of one frame with a workflow in its tags; empty where PyAV is missing."""
    if not VIDEOS:
        return b""
    import av

    stream = io.BytesIO()
    options = {"movflags": "use_metadata_tags"} if kind == "mp4" else {}
    with av.open(stream, "w", format=kind, options=options) as video:
        video.metadata["workflow"] = json.dumps(sound()[0])
        track = video.add_stream("mpeg4" if kind == "mp4" else "ffv1", rate=1)
        track.width, track.height, track.pix_fmt = 16, 16, "yuv420p"
        video.mux(track.encode(av.VideoFrame(16, 16, "yuv420p")))
        video.mux(track.encode())
    return stream.getvalue()


def _seeds() -> Iterator[bytes]:
    yield from (bytes((mode, 1, 0, 1, 1, 0, 2, 4, 1, 1, 1)) for mode in (1, 2, 3))
    yield b"\0" + PNG + b"\0\0\0\5tEXta\0{}{}abcd"


TARGETS = (
    Target("pictures", _embedded, _seeds),
    Target("videos", _videos, lambda: [one for kind in ("mp4", "matroska") if (one := small_video(kind))], longest=8192),
    Target(
        "pixels",
        _pixels,
        lambda: (
            [bytes((place,)) + small_picture(kind) for place, kind in enumerate(("PNG", "WEBP", "JPEG"))]
            + [b"\5" + small_picture("GIF"), b"\6" + small_picture("BMP")]
        ),
    ),
)
