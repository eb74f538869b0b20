"""An example that makes a direction."""

from __future__ import annotations

from .parts import WIDE, A, B, C, D
from .sheet import BLUE, GREEN, GREY, PURPLE, Sheet

ROW = 560
PROMPTS = {
    "A prompt to be flagged": "a pirate punching a stranger in a market",
    "A harmless one": "a pirate shaking hands with a stranger in a market",
}


def make_a_direction(sheet: Sheet) -> None:
    """Make a direction in the user's language model, keep it, and try it on two prompts."""
    sheet.note(
        (A, 0),
        (WIDE, 410),
        "Make a safety direction of your own",
        "You need this only when the direction that comes with Safety Steer does not cover what you want to steer.",
        "1. Load CLIP: a text encoder that is a language model, such as "
        "models/text_encoders/qwen_2.5_vl_7b_fp8_scaled.safetensors of Qwen-Image. For those of Flux.2, Wan or HunyuanVideo "
        "set type too.",
        "2. pairs: a file of yours in models/safety_pairs, one line for each pair, such as\n"
        '{"safe": "...", "unsafe": "...", "category": "violence"}\n'
        "The two prompts of a pair should differ in nothing but safety. A few hundred are good. stand_in_pairs.jsonl comes "
        "along so that you can see it run: 208 mild pairs of all kinds, not enough for real use.",
        "3. Queue. It reads every pair once; a large model takes minutes.",
    )
    clip = sheet.add("CLIPLoader", (A, 500), (WIDE, 106), clip_name="qwen_2.5_vl_7b_fp8_scaled.safetensors", type="qwen_image")
    sheet.group("Your language model", BLUE, clip)
    made = sheet.add("ExtractSafetyDirection", (B, 0), (WIDE, 410), pairs="stand_in_pairs.jsonl", clip=clip["CLIP"])
    kept = sheet.add("SaveSafetyDirection", (C, 0), (WIDE, 150), direction=made["direction"])
    sheet.group("Make it and keep it", GREEN, made, kept)
    sheet.note(
        (C, 240),
        (WIDE, 170),
        "It is in models/safety_directions now. Press R in ComfyUI, choose it in Load Safety Direction, and use it with any "
        "model you have: Align Direction fits it to that model's text encoder.",
        "Each run keeps a new file. Mute Save Safety Direction (Ctrl+M) while you try things.",
        title="What next",
    )
    aligned = sheet.add("AlignSafetyDirection", (B, ROW), (WIDE, 310), direction=made["direction"], clip=clip["CLIP"])
    sheet.group("Fit it to a text encoder", GREEN, aligned)
    texts = [
        sheet.add("CLIPTextEncode", (C, ROW + 190 * place), (WIDE, 140), title, clip=clip["CLIP"], text=text)
        for place, (title, text) in enumerate(PROMPTS.items())
    ]
    sheet.group("Prompts to try it on", GREY, *texts)
    scores = [
        sheet.add(
            "SafetyScore",
            (D + 440 * place, 0),
            (WIDE, 640),
            f"Safety Score: {text.title[0].lower()}{text.title[1:]}",
            direction=aligned["direction"],
            conditioning=text["CONDITIONING"],
            clip=clip["CLIP"],
        )
        for place, text in enumerate(texts)
    ]
    sheet.group("What it says of them: above 0 is flagged", PURPLE, *scores)
