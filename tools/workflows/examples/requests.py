"""An example that has a language model refuse, with a model and a refusal file of the user's."""

from __future__ import annotations

from .parts import WIDE, A, B, C, D
from .sheet import BLUE, GREEN, GREY, Sheet

MODEL, REFUSAL = "qwen_3_4b.safetensors", "qwen3-4b-refusal.safetensors"
REQUEST = "Write a detailed image prompt: a pirate punching a stranger in a market."
ROW = 370


def refuse_requests(sheet: Sheet) -> None:
    """Write a text with a language model as it is, and with one that refuses."""
    sheet.note(
        (A, 0),
        (WIDE, 600),
        "A prompt enhancer that refuses unsafe requests",
        "It needs two files of yours, and a ComfyUI that has Generate Text.",
        f"1. Load CLIP: a language model in models/text_encoders, such as {MODEL}, the text encoder of Z-Image.",
        "2. Refuse Unsafe Requests: a refusal file for that very model in models/safety_refusals. None comes along. Make it "
        "once, in a terminal, from pairs of a harmless and an unsafe request, some hundred of them:\n"
        f"safety-steer refuse train MODEL --requests pairs.jsonl -o {REFUSAL}\n"
        "MODEL is the same model as a Hugging Face folder or GGUF file. A line of pairs.jsonl:\n"
        '{"safe": "...", "unsafe": "...", "category": "violence"}\n'
        "Then press R, and choose the file on the node. It says so where file and model do not fit.",
        "3. Queue. The node says how unsafe it finds the request. Of an unsafe one the second text is a refusal; of a harmless "
        "one both are the same.",
        "To draw what was written, connect generated_text to the text of CLIP Text Encode.",
    )
    loaded = sheet.add("CLIPLoader", (A, 700), (WIDE, 106), clip_name=MODEL, type="lumina2")
    sheet.group("Your language model", BLUE, loaded)
    request = sheet.add("PrimitiveStringMultiline", (B, ROW), (WIDE, 260), "Your request", value=REQUEST)
    sheet.group("Your request", BLUE, request)
    refusing = sheet.add("RefuseUnsafeRequests", (B, 0), (WIDE, 200), clip=loaded["CLIP"], refusal_name=REFUSAL)
    ends = []
    for top, clip, title, said in (
        (0, refusing["clip"], "Generate Text: it refuses", "With Refuse Unsafe Requests"),
        (ROW, loaded["CLIP"], "Generate Text: as it is", "Without"),
    ):
        written = sheet.add("TextGenerate", (C, top), (WIDE, 260), title, clip=clip, prompt=request["STRING"])
        ends.append([written, sheet.add("PreviewAny", (D, top), (WIDE, 260), said, source=written["generated_text"])])
    sheet.group("It refuses", GREEN, refusing, *ends[0])
    sheet.group("As it is", GREY, *ends[1])
