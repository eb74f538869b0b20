"""Examples for pictures, with a checkpoint of the user's."""

from __future__ import annotations

from . import parts
from .parts import ROW, WIDE, A, B, C, D, E
from .sheet import BLUE, GREEN, GREY, PURPLE, Node, Sheet

CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"
FILES = f"1. In Load Checkpoint choose an SD 1.5 or SDXL checkpoint from models/checkpoints, such as {CHECKPOINT}."
NEGATIVE = "blurry, low quality"


def checkpoint(sheet: Sheet, top: int) -> Node:
    """Add Load Checkpoint."""
    loaded = sheet.add("CheckpointLoaderSimple", (A, top), (WIDE, 98), ckpt_name=CHECKPOINT)
    sheet.group("Your model", BLUE, loaded)
    return loaded


def text_to_image(sheet: Sheet) -> None:
    """Draw a picture with steering."""
    sheet.note(
        (A, 0), (WIDE, 330), "Text to image with Safety Steer", f"{FILES}\n2. Queue. {parts.FIRST_TIME}", *parts.AFTERWARDS
    )
    loaded = checkpoint(sheet, 460)
    model, clip, vae = (loaded[name] for name in ("MODEL", "CLIP", "VAE"))
    positive, negative = parts.prompts(
        sheet, (A, ROW), clip, "a lighthouse on a rocky coast at sunset, detailed, soft light", NEGATIVE
    )
    latent = sheet.add("EmptyLatentImage", (A, ROW + 350), (WIDE, 106))
    sheet.group("Your prompt", GREY, positive, negative, latent)
    steered = parts.steering(sheet, model, clip)
    texts = positive["CONDITIONING"], negative["CONDITIONING"]
    sampled = parts.sampler(sheet, (B, ROW), steered["model"], texts, latent["LATENT"], cfg=7.0, scheduler="normal")
    picture = parts.decoded(sheet, (C, ROW), sampled["LATENT"], vae)
    sheet.group("Sampling", GREY, sampled, picture)
    sheet.group("What it did", PURPLE, parts.report(sheet, (E, 0), steered, picture["IMAGE"], clip))
    sheet.group("Picture", GREEN, sheet.add("SaveImage", (D, ROW), (WIDE, 480), images=picture["IMAGE"]))


def image_to_image(sheet: Sheet) -> None:
    """Draw over a picture with steering."""
    sheet.note(
        (A, 0),
        (WIDE, 430),
        "Image to image with Safety Steer",
        f"{FILES}\n2. In Load Image choose a picture: it is brought to 512 x 512. For SDXL set 1024 x 1024.\n3. Queue. "
        f"{parts.FIRST_TIME}",
        "Safety Steer hears the prompt. It does not look at your picture: what is unsafe in it already stays.",
        *parts.AFTERWARDS,
    )
    loaded = checkpoint(sheet, 520)
    model, clip, vae = (loaded[name] for name in ("MODEL", "CLIP", "VAE"))
    positive, negative = parts.prompts(
        sheet, (A, 720), clip, "an oil painting of the same scene, thick brush strokes, warm light", NEGATIVE
    )
    image = sheet.add("LoadImage", (A, 1070), (WIDE, 330))
    sheet.group("Your prompt and picture", GREY, positive, negative, image)
    steered = parts.steering(sheet, model, clip)
    scaled = sheet.add("ImageScale", (B, ROW), (WIDE, 160), image=image["IMAGE"])
    encoded = sheet.add("VAEEncode", (B, ROW + 210), (WIDE, 50), pixels=scaled["IMAGE"], vae=vae)
    texts = positive["CONDITIONING"], negative["CONDITIONING"]
    settings = {"cfg": 7.0, "scheduler": "normal", "denoise": 0.65}
    sampled = parts.sampler(sheet, (C, ROW), steered["model"], texts, encoded["LATENT"], **settings)
    picture = parts.decoded(sheet, (C, ROW + 315), sampled["LATENT"], vae)
    sheet.group("Sampling", GREY, scaled, sampled, picture)
    sheet.group("What it did", PURPLE, parts.report(sheet, (E, 0), steered, picture["IMAGE"], clip))
    sheet.group("Picture", GREEN, sheet.add("SaveImage", (D, ROW), (WIDE, 480), images=picture["IMAGE"]))
