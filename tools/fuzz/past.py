"""Write the corpus of past faults: for each the input of its target that showed it, and for each target a sound one.

    python -m tools.fuzz.past

Inputs that a fuzzer found are put into tests/corpus/TARGET as they are; those here were found by hand or at random.
"""

from __future__ import annotations

import json
from pathlib import Path

from .containers import as_edited
from .odd_workflows import odd_workflows
from .stream import nested
from .targets import TARGETS
from .texts import PICTURE_ROW, RESULT, ROW, ROWS
from .workflows import sound

THERE_AND_BACK = b"  "  # the end of a text that has the target put steering in and take it out
CORPUS = Path(__file__).resolve().parents[2] / "tests" / "corpus"


def _text(value: object) -> bytes:
    return json.dumps(value).encode()


def _answer(body: bytes, status: bytes = b"200 OK", length: bytes | None = None) -> bytes:
    """Return a raw answer of a server as the target reads it: what kind it is, its length, and the answer."""
    size = b"%d" % len(body) if length is None else length
    raw = b"HTTP/1.1 " + status + b"\r\nContent-Length: " + size + b"\r\n\r\n" + body
    return bytes((0, len(raw) >> 8, len(raw) & 255)) + raw


def _run(entry: object) -> bytes:
    """Return the answers of a server that takes a graph and says this of its run."""
    return _answer(b'{"system": {}}') + _answer(b'{"prompt_id": "a"}') + _answer(_text({"a": entry})) + b"\0"


def faults() -> dict[str, dict[str, bytes]]:
    """Return for each target what it did not take, by what is wrong with it."""
    deep = {**sound()[0], "extra": nested(700, 0)}
    huge = 10**400
    return {
        "direction": {"a-width-beyond-64-bits": as_edited("direction", {"source": {"width": huge}})},
        "patch": {"a-share-no-float-holds": as_edited("patch", {"tau": huge})},
        "refusal": {"a-strength-no-float-holds": as_edited("refusal", {"strength": huge})},
        "aligned": {"strengths-no-float-holds": as_edited("aligned", {"strengths": {"global": huge}})},
        "pairs": {"half-a-letter": b"\0\0" + _text({**ROWS[1], "safe": "\ud800"})},
        "tables": {
            "half-a-letter": b"\2\0" + _text({"prompt": "\ud800"}),
            "a-seed-of-5000-zeros": b"\2\0" + _text({"prompt": "a kite", "seed": "0" * 5000}),
            "a-prompt-that-is-a-long-list": b"\2\0" + _text({"prompt": [1] * 4000}),
        },
        "captions": {
            "a-picture-named-by-a-zero-byte": b"\0\0" + _text({**PICTURE_ROW, "safe_picture": "\0"}),
            "a-picture-with-a-name-of-5000-letters": b"\0\0" + _text({**PICTURE_ROW, "safe_picture": "a" * 5000}),
        },
        "journal": {
            "a-row-that-is-true": b"\0\0true",
            "a-row-that-is-a-text": b'\0\0"row"',
            "a-seed-that-is-a-list": b"\0\0" + _text({**ROW, "seed": []}),
            "a-strength-that-is-an-object": b"\0\0" + _text({**ROW, "strength": {}}),
            "a-workflow-of-9000-letters": b"\0\0" + _text({**ROW, "workflow": "w" * 9000}),
        },
        "results": {
            "no-json": b"\1{",
            "an-object": b"\1{}",
            "a-share-that-is-a-text": b"\0\0" + _text({**RESULT, "asr": "low"}),
            "a-share-that-no-float-holds": b"\0\0" + _text({**RESULT, "asr": 10**400}),
        },
        "workflow": {
            "values-700-deep": b"\0" + _text(deep),
            "a-node-of-5000-digits": b"\0" + _text(_numbered("9" * 5000)),
            **{title: b"\0" + _text(data) + THERE_AND_BACK for title, data in odd_workflows().items()},
        },
        "evaluated": {
            "values-700-deep": b"\0" + _text({**_numbered("1"), "2": {"class_type": "x", "inputs": {"a": nested(700, 0)}}})
        },
        "replies": {
            "messages-that-are-none": _run({"status": {"messages": None}}),
            "a-status-that-is-a-text": _run({"status": "fine"}),
            "an-error-that-is-a-number": _run({"status": {"messages": [["execution_error", 7]]}}),
            "a-message-without-a-name": _run({"status": {"messages": [[{}, {}]]}}),
            "cached-nodes-that-are-objects": _run({"status": {"messages": [["execution_cached", {"nodes": [{}]}]]}}),
            "a-length-that-is-a-small-two": _answer(b"{}", length="²".encode("latin-1")) + b"\0",
            "a-length-of-5000-digits": _answer(b"{}", length=b"9" * 4400) + b"\0",
            "letters-that-move-a-cursor": _answer(b"{}", status=b"500 \x1b[2J") + b"\0",
            "errors-that-are-a-number": _answer(b'{"system": {}}')
            + _answer(_text({"node_errors": {"3": {"errors": 7}}}), status=b"400 Bad Request")
            + b"\0",
        },
    }


def _numbered(number: str) -> dict[str, object]:
    """Return a steered workflow in the API's format with one more node of this number."""
    steered: dict[str, object] = dict(sound()[-1])
    return {**steered, number: {"class_type": "Note", "inputs": {}}}


def main() -> None:
    """Write the files, each named by what is wrong with it."""
    known = faults()
    for name, target in TARGETS.items():
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        for seed in list(target.seeds())[:1]:
            (folder / "sound").write_bytes(seed)
        for title, data in known.get(name, {}).items():
            (folder / title).write_bytes(data)


if __name__ == "__main__":
    main()
