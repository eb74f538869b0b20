"""The texts that picture files carry: PNG text chunks and the EXIF block of JPEG and WebP, read without opening the picture.

Only headers are walked, and no pixel is decoded, so the size of a picture does not matter. Each reader yields names and
texts, and raises DataError for a text larger than `limit` bytes. What is cut off ends the walk.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from ...errors import DataError

Texts = Iterator[tuple[str, str]]
PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
MAX_CHUNKS = 1_000_000  # by hand
MAX_TAGS = 1_000  # by hand; of a directory
MAX_DIRECTORIES = 8  # by hand; an EXIF block has five at most, of which two hold texts
EXIF_IFD = 0x8769  # this tag, the next and the types are those of EXIF
USER_COMMENT = 0x9286  # EXIF's
ASCII, UNDEFINED, BYTE, LONG = 2, 7, 1, 4  # EXIF's


def png_texts(stream: BinaryIO, limit: int) -> Texts:
    """Yield the texts of a PNG, also those ComfyUI puts into animated ones (`comf`)."""
    stream.seek(len(PNG))
    for _ in range(MAX_CHUNKS):
        header = stream.read(8)
        if len(header) < 8:
            return
        size, kind = int.from_bytes(header[:4], "big"), header[4:]
        if kind not in (b"tEXt", b"zTXt", b"iTXt", b"comf"):
            stream.seek(size + 4, 1)
            continue
        name, _, rest = stream.read(_within(size, limit)).partition(b"\0")
        stream.seek(4, 1)
        if kind == b"zTXt":
            rest = _inflated(rest[1:], limit)
        elif kind == b"iTXt":
            packed, text = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
            rest = _inflated(text, limit) if packed else text
        yield name.decode("latin-1"), _decoded(rest)
    raise DataError(f"It has more than {MAX_CHUNKS:,} chunks. Save the picture again in ComfyUI.")


def webp_texts(stream: BinaryIO, limit: int) -> Texts:
    """Yield the texts in the EXIF block of a WebP."""
    stream.seek(12)
    for _ in range(MAX_CHUNKS):
        header = stream.read(8)
        if len(header) < 8:
            return
        size = int.from_bytes(header[4:], "little")
        if header[:4] == b"EXIF":
            yield from exif_texts(stream.read(_within(size, limit)))
            return
        stream.seek(size + size % 2, 1)


def jpeg_texts(stream: BinaryIO, limit: int) -> Texts:
    """Yield the texts in the EXIF block of a JPEG, and its comments."""
    stream.seek(2)
    for _ in range(MAX_CHUNKS):
        header = stream.read(4)
        if len(header) < 4 or header[0] != 0xFF or header[1] in (0xDA, 0xD9):
            return
        size = int.from_bytes(header[2:], "big") - 2
        data = stream.read(_within(max(size, 0), limit))
        if header[1] == 0xE1 and data.startswith(b"Exif\0\0"):
            yield from exif_texts(data)
        elif header[1] == 0xFE:
            yield "comment", _decoded(data)


def exif_texts(data: bytes) -> Texts:
    """Yield the texts of an EXIF block, named by their tags, such as "0x010f".

    Raises DataError for a block of too many directories, and for texts that together are longer than the block they are in:
    a thousand tags could each name the same megabytes.
    """
    data = data.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None or len(data) < 8:
        return
    waiting, seen, left = [struct.unpack_from(f"{order}I", data, 4)[0]], set(), len(data)
    while waiting:
        start = waiting.pop(0)
        if start in seen or start + 2 > len(data):
            continue
        seen.add(start)
        if len(seen) > MAX_DIRECTORIES:
            raise DataError(f"Its EXIF block has more than {MAX_DIRECTORIES} directories. Save the picture again in ComfyUI.")
        count = min(struct.unpack_from(f"{order}H", data, start)[0], MAX_TAGS, (len(data) - start - 2) // 12)
        for number in range(count):
            entry = start + 2 + 12 * number
            tag, kind, length = struct.unpack_from(f"{order}HHI", data, entry)
            place = struct.unpack_from(f"{order}I", data, entry + 8)[0] if length > 4 else entry + 8
            if tag == EXIF_IFD and kind == LONG:
                waiting.append(struct.unpack_from(f"{order}I", data, entry + 8)[0])
            elif kind in (ASCII, UNDEFINED, BYTE) and length > 4:
                value = data[place : place + min(length, left + 1)]
                left -= len(value)
                if left < 0:
                    raise DataError("The texts in its EXIF block overlap. Save the picture again in ComfyUI.")
                yield f"0x{tag:04x}", _comment(value, order, tag)


def _comment(value: bytes, order: str, tag: int) -> str:
    """Read a tag's text; a user comment says in its first eight bytes how it is written, and Windows' own are UTF-16."""
    if tag == USER_COMMENT and value[:8] == b"UNICODE\0":
        # Some write it as the block, others always from the high byte: a brace shows which.
        text = value[8:]
        wide = re.match(rb"(?:\xfe\xff)?\0[\x20-\x7f]", text) or (
            order == ">" and not re.match(rb"(?:\xff\xfe)?[\x20-\x7f]\0", text)
        )
        return text.decode("utf-16-be" if wide else "utf-16-le", "replace").strip("\ufeff\0")
    if tag == USER_COMMENT and (value[:8] == b"ASCII\0\0\0" or not value[:8].strip(b"\0")):
        value = value[8:]
    if 0x9C9B <= tag <= 0x9C9F:
        return value.decode("utf-16-le", "replace").strip("\0")
    return _decoded(value.rstrip(b"\0"))


def _within(size: int, limit: int) -> int:
    if size > limit:
        raise DataError(f"A text in it takes {size:,} bytes; at most {limit:,} are read.")
    return size


def _inflated(data: bytes, limit: int) -> bytes:
    """Unpack a compressed text, and no more of it than is allowed."""
    packer = zlib.decompressobj()
    try:
        found = packer.decompress(data, limit + 1)
    except zlib.error as error:
        raise DataError(f"A compressed text in it cannot be unpacked ({error}).") from error
    if len(found) > limit:
        raise DataError(f"A compressed text in it unpacks to more than {limit:,} bytes, which is the most that is read.")
    return found


def _decoded(data: bytes) -> str:
    """Read a text: UTF-8, as most write it, or what the PNG standard says."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
