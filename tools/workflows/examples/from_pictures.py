"""Examples on the demo generators that read a picture: what is seen in it is steered, and drawn anew."""

from __future__ import annotations

from safety_steer.storage.bundled import DEMO_SOURCE

from . import parts
from .demos import PLAIN, SAMPLING, START, STEERED, empty, framed, generator, larger, own_prompts
from .parts import ROW, WIDE, A, B, C, D, E
from .sheet import BLUE, GREEN, GREY, PURPLE, Node, Sheet, Wire

PROMPT = "a pig next to a burning house with screaming victims in the forest"
DRAWN = 2048
PRESET = "firm"
SEEN = (
    "Align Direction (Vision) brings the direction to that CLIP Vision through text, which way auto finds out: it says what it "
    "sees in the language of the CLIP. Harmless drawn scenes with captions say what is normal.",
    "For a picture of your own, put Load Image before CLIP Vision Encode: a cartoon of this small world, as this generator "
    "knows no other.",
)


def picture_to_picture(sheet: Sheet) -> None:
    """Draw new pictures of the scene in a picture, with steering of the picture and without."""
    told = (
        "A prompt makes the first picture. CLIP Vision looks at it, and the second generator, which reads no text, draws new "
        "pictures of what it saw, with steering and without."
    )
    _draw(sheet, "image-from-picture", "A picture in, new pictures of its scene out", told)


def picture_to_video(sheet: Sheet) -> None:
    """Make a video of the scene in a picture, with steering of the picture and without."""
    told = (
        "A prompt makes the first picture. CLIP Vision looks at it, and the second generator, which reads no text, makes a "
        "video of what it saw, with steering and without. The picture says nothing of movement: the generator chooses one."
    )
    _draw(sheet, "video-from-picture", "A picture in, a video of its scene out", told)


def _draw(sheet: Sheet, kind: str, title: str, told: str) -> None:
    video = kind.startswith("video")
    sheet.note((A, 0), (WIDE, 430), title, START, told, *SEEN)
    first = generator(sheet, 520, "image", "Generator of the first picture")
    second = generator(sheet, 720, kind, f"Generator of the new {'video' if video else 'pictures'}")
    positive, negative = parts.prompts(sheet, (A, 940), first["CLIP"], PROMPT)
    one = empty(sheet, 1290)
    if video:
        size = {"width": 64, "height": 64, "length": 29}
        latent = sheet.add("EmptyHunyuanLatentVideo", (A, 1450), (WIDE, 150), "Empty video: length 29 gives 8 frames", **size)
    else:
        latent = empty(sheet, 1450, batch=4)
    sheet.group("The first picture's prompt", GREY, positive, negative, one)
    model, clip, vae, vision = (second[name] for name in ("MODEL", "CLIP", "VAE", "CLIP_VISION"))
    steered = _steering(sheet, model, clip, vision)

    texts = positive["CONDITIONING"], negative["CONDITIONING"]
    start = parts.sampler(sheet, (B, ROW), first["MODEL"], texts, one["LATENT"], title="KSampler: first picture", **SAMPLING)
    begun = larger(sheet, B, ROW, start, first["VAE"])
    seen = sheet.add("CLIPVisionEncode", (B, ROW + 565), (WIDE, 78), clip_vision=vision, image=begun[0]["IMAGE"])
    no_text = sheet.add("CLIPTextEncode", (B, ROW + 695), (WIDE, 100), "No prompt", clip=clip, text="")
    picture = sheet.add(
        "unCLIPConditioning",
        (B, ROW + 845),
        (WIDE, 102),
        conditioning=no_text["CONDITIONING"],
        clip_vision_output=seen["CLIP_VISION_OUTPUT"],
    )
    sheet.group("The first picture, and what is seen in it", BLUE, start, seen, no_text, picture)
    texts = picture["CONDITIONING"], no_text["CONDITIONING"]
    sides = (("KSampler: without steering", model, C), ("KSampler: with steering", steered["model"], D))
    samplers = [
        parts.sampler(sheet, (left, ROW), wire, texts, latent["LATENT"], title=name, **SAMPLING) for name, wire, left in sides
    ]
    made = [_shown(sheet, left, sampled, vae, video) for (_, _, left), sampled in zip(sides, samplers, strict=True)]
    framed(sheet, [samplers[0], made[0][1]], [samplers[1], made[1][1]])
    sheet.group("What it did", PURPLE, parts.report(sheet, (E, 0), steered, made[1][0]["IMAGE"], clip))
    first_saved = sheet.add("PreviewImage", (B, ROW + 1040), (WIDE, 440), "First picture", images=begun[-1]["IMAGE"])
    names = (("Without steering", PLAIN, C), ("With steering", STEERED, D))
    saved = [
        _saved(sheet, left, name, prefix, shown, video) for (name, prefix, left), (_, shown) in zip(names, made, strict=True)
    ]
    sheet.group("Videos" if video else "Pictures", GREY, first_saved, *saved)


def _steering(sheet: Sheet, model: Wire, clip: Wire, vision: Wire) -> Node:
    """Add the row of steering nodes, for a picture too; returns Apply Safety Steer."""
    aligned, direction = parts.align_nodes(sheet, clip, direction=DEMO_SOURCE, **own_prompts())
    mixer = sheet.add("SafetyCategoryMixer", (C, 0), (WIDE, 315), direction=aligned["direction"])
    of_pictures = sheet.add(
        "AlignSafetyDirectionVision",
        (C, 360),
        (WIDE, 270),
        direction=direction["direction"],
        clip_vision=vision,
        clip=clip,
        max_pictures=DRAWN,
        way="auto",
    )
    steered = parts.apply_node(
        sheet, (D, 0), model, mixer["direction"], vision_direction=of_pictures["direction"], preset=PRESET
    )
    sheet.group("Safety Steer", GREEN, direction, aligned, mixer, of_pictures, steered)
    return steered


def _shown(sheet: Sheet, left: int, sampled: Node, vae: Wire, video: bool) -> tuple[Node, Node]:
    """Add what comes below a sampler: the decoder, and larger pictures or a video."""
    if not video:
        return larger(sheet, left, ROW, sampled, vae)
    frames = parts.decoded(sheet, (left, ROW + 315), sampled["LATENT"], vae)
    return frames, parts.video(sheet, (left, ROW + 415), frames["IMAGE"], 6.0)


def _saved(sheet: Sheet, left: int, name: str, prefix: str, shown: Node, video: bool) -> Node:
    place = (left, ROW + 1040), (WIDE, 440)
    if video:
        return sheet.add("SaveVideo", *place, name, video=shown["VIDEO"], filename_prefix=prefix)
    return sheet.add("SaveImage", *place, name, images=shown["IMAGE"], filename_prefix=prefix)
