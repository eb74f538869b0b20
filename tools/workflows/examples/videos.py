"""Examples for videos, with Wan models of the user's."""

from __future__ import annotations

from . import parts
from .parts import ROW, WIDE, A, B, C, D, E, F
from .sheet import BLUE, GREEN, GREY, PURPLE, Node, Sheet, Wire

COMMON_FILES = "- models/text_encoders: umt5_xxl_fp8_e4m3fn_scaled.safetensors\n- models/vae: wan_2.1_vae.safetensors"
NEGATIVE = "static, blurry, low quality, watermark"
FPS = 16.0


def files(*models: str) -> str:
    """Say which files to load, and where they belong."""
    return "\n".join(["Files to load:", *(f"- models/diffusion_models: {name}" for name in models), COMMON_FILES])


def loaders(sheet: Sheet, top: int, *models: str) -> tuple[list[Node], Wire, Wire]:
    """Add the loaders of diffusion models, text encoder and VAE to column A, one below the other."""
    found = [sheet.add("UNETLoader", (A, top + 130 * place), (WIDE, 82), unet_name=name) for place, name in enumerate(models)]
    top += 130 * len(models)
    clip = sheet.add("CLIPLoader", (A, top), (WIDE, 106), clip_name="umt5_xxl_fp8_e4m3fn_scaled.safetensors", type="wan")
    vae = sheet.add("VAELoader", (A, top + 155), (WIDE, 58), vae_name="wan_2.1_vae.safetensors")
    return found, clip["CLIP"], vae["VAE"]


def text_to_video(sheet: Sheet) -> None:
    """Make a video with steering."""
    model = "wan2.1_t2v_1.3B_fp16.safetensors"
    sheet.note((A, 0), (WIDE, 430), "Text to video with Safety Steer", files(model), parts.FIRST_TIME, *parts.AFTERWARDS)
    [loaded], clip, vae = loaders(sheet, 520, model)
    sheet.group("Your model", BLUE, *sheet.nodes[1:])
    steered = parts.steering(sheet, loaded["MODEL"], clip)
    prompt = "a paper boat drifts down a quiet stream in autumn, leaves falling, gentle camera move"
    positive, negative = parts.prompts(sheet, (B, ROW), clip, prompt, NEGATIVE)
    size = {"width": 832, "height": 480, "length": 33}
    latent = sheet.add("EmptyHunyuanLatentVideo", (B, ROW + 350), (WIDE, 150), "Empty video", **size)
    sheet.group("Your prompt", GREY, positive, negative, latent)
    texts = positive["CONDITIONING"], negative["CONDITIONING"]
    settings = {"steps": 30, "cfg": 6.0, "sampler_name": "uni_pc"}
    sampled = parts.sampler(sheet, (C, ROW), steered["model"], texts, latent["LATENT"], **settings)
    finished(sheet, (C, ROW + 315), sampled, vae, clip, steered)


def finished(sheet: Sheet, pos: tuple[int, int], sampled: Node, vae: Wire, clip: Wire, steered: Node, *before: Node) -> None:
    """Add what comes behind the last sampler: the video below it, the saved video in column D, and the report in E."""
    left, top = pos
    frames = parts.decoded(sheet, pos, sampled["LATENT"], vae)
    video = parts.video(sheet, (left, top + 100), frames["IMAGE"], FPS)
    sheet.group("Sampling", GREY, *before, sampled, video)
    sheet.group("What it did", PURPLE, parts.report(sheet, (E, 0), steered, frames["IMAGE"], clip))
    sheet.group("Video", GREEN, sheet.add("SaveVideo", (D, ROW), (WIDE, 480), video=video["VIDEO"]))


def image_to_video(sheet: Sheet) -> None:
    """Make a video that begins with a picture, with steering of the prompt."""
    loaded, clip, vae, vision = begun_with_a_picture(
        sheet,
        "Image to video with Safety Steer",
        "Safety Steer hears the prompt. It does not look at your picture: what is unsafe in it already stays.",
    )
    from_picture(sheet, clip, vae, vision, parts.steering(sheet, loaded, clip))


def picture_to_video(sheet: Sheet) -> None:
    """Make a video that begins with a picture, with steering of the prompt and of the picture."""
    loaded, clip, vae, vision = begun_with_a_picture(
        sheet,
        "Image to video, with the picture steered too",
        "In Align Direction (Vision) choose a folder of your input folder: some hundred harmless pictures like the one you "
        "start from, each with a text file of the same name that says what it shows. The drawn scenes suit cartoons.",
        "What CLIP vision says of the picture is steered; the picture's latent is not, so that the video still begins with it.",
    )
    aligned, direction = parts.align_nodes(sheet, clip)
    mixer = sheet.add("SafetyCategoryMixer", (C, 0), (WIDE, 315), direction=aligned["direction"])
    of_pictures = sheet.add(
        "AlignSafetyDirectionVision",
        (C, 360),
        (WIDE, 260),
        direction=direction["direction"],
        clip_vision=vision,
        clip=clip,
    )
    applied = parts.apply_node(sheet, (D, 0), loaded, mixer["direction"], vision_direction=of_pictures["direction"])
    sheet.group("Safety Steer", GREEN, direction, aligned, mixer, of_pictures, applied)
    from_picture(sheet, clip, vae, vision, applied)


def begun_with_a_picture(sheet: Sheet, title: str, *said: str) -> tuple[Wire, Wire, Wire, Wire]:
    """Add the note and the loaders: returns model, text encoder, VAE and CLIP vision."""
    model = "wan2.1_i2v_480p_14B_fp16.safetensors"
    sheet.note(
        (A, 0),
        (WIDE, 520),
        title,
        f"{files(model)}\n- models/clip_vision: clip_vision_h.safetensors",
        "In Load Image choose the first picture of the video.",
        parts.FIRST_TIME,
        *said,
        *parts.AFTERWARDS,
    )
    [loaded], clip, vae = loaders(sheet, 610, model)
    vision = sheet.add("CLIPVisionLoader", (A, 1005), (WIDE, 58), clip_name="clip_vision_h.safetensors")
    sheet.group("Your model", BLUE, *sheet.nodes[1:])
    return loaded["MODEL"], clip, vae, vision["CLIP_VISION"]


def from_picture(sheet: Sheet, clip: Wire, vae: Wire, vision: Wire, steered: Node) -> None:
    """Add prompt, picture and what comes behind them."""
    prompt = "the camera moves slowly forward, clouds drift by, leaves move in the wind"
    positive, negative = parts.prompts(sheet, (B, ROW), clip, prompt, NEGATIVE)
    image = sheet.add("LoadImage", (B, ROW + 350), (WIDE, 330))
    sheet.group("Your prompt and picture", GREY, positive, negative, image)
    seen = sheet.add("CLIPVisionEncode", (C, ROW), (WIDE, 78), clip_vision=vision, image=image["IMAGE"])
    begun = sheet.add(
        "WanImageToVideo",
        (C, ROW + 130),
        (WIDE, 240),
        positive=positive["CONDITIONING"],
        negative=negative["CONDITIONING"],
        vae=vae,
        clip_vision_output=seen["CLIP_VISION_OUTPUT"],
        start_image=image["IMAGE"],
    )
    texts, settings = (begun["positive"], begun["negative"]), {"cfg": 6.0, "sampler_name": "uni_pc"}
    sampled = parts.sampler(sheet, (C, ROW + 420), steered["model"], texts, begun["latent"], **settings)
    finished(sheet, (C, ROW + 735), sampled, vae, clip, steered, seen)


def two_models(sheet: Sheet) -> None:
    """Make a video with a model for the first steps and one for the rest, both steered."""
    models = [f"wan2.2_t2v_{noise}_noise_14B_fp8_scaled.safetensors" for noise in ("high", "low")]
    sheet.note(
        (A, 0),
        (WIDE, 480),
        "A video by two models (Wan 2.2) with Safety Steer",
        files(*models),
        "Wan 2.2 begins with its high noise model and ends with its low noise one. Both read the same text encoder, so one "
        "Align Direction serves two Apply Safety Steer nodes: one before each sampler. With only one of them, the other model "
        "would bring back what was taken out.",
        parts.FIRST_TIME,
        *parts.AFTERWARDS,
    )
    (high, low), clip, vae = loaders(sheet, 570, *models)
    sheet.group("Your models", BLUE, *sheet.nodes[1:])
    aligned, direction = parts.align_nodes(sheet, clip)
    mixer = sheet.add("SafetyCategoryMixer", (C, 0), (WIDE, 315), direction=aligned["direction"])
    first = parts.apply_node(sheet, (D, 0), high["MODEL"], mixer["direction"], "Apply Safety Steer: high noise")
    second = parts.apply_node(sheet, (E, 0), low["MODEL"], mixer["direction"], "Apply Safety Steer: low noise")
    sheet.group("Safety Steer", GREEN, direction, aligned, mixer, first, second)
    prompt = "a paper boat drifts down a quiet stream in autumn, leaves falling, gentle camera move"
    positive, negative = parts.prompts(sheet, (B, ROW), clip, prompt, NEGATIVE)
    size = {"width": 640, "height": 640, "length": 81}
    latent = sheet.add("EmptyHunyuanLatentVideo", (B, ROW + 350), (WIDE, 150), "Empty video", **size)
    sheet.group("Your prompt", GREY, positive, negative, latent)
    texts = {"positive": positive["CONDITIONING"], "negative": negative["CONDITIONING"], "cfg": 3.5}
    begun = sheet.add(
        "KSamplerAdvanced",
        (C, ROW),
        (WIDE, 335),
        "KSampler: high noise, steps 0 to 10",
        model=first["model"],
        latent_image=latent["LATENT"],
        end_at_step=10,
        return_with_leftover_noise="enable",
        **texts,
    )
    ended = sheet.add(
        "KSamplerAdvanced",
        (D, ROW),
        (WIDE, 335),
        "KSampler: low noise, steps 10 to 20",
        model=second["model"],
        latent_image=begun["LATENT"],
        add_noise="disable",
        start_at_step=10,
        **texts,
    )
    frames = parts.decoded(sheet, (D, ROW + 385), ended["LATENT"], vae)
    video = parts.video(sheet, (D, ROW + 485), frames["IMAGE"], FPS)
    sheet.group("Sampling", GREY, begun, ended, video)
    title = "Safety Report: high noise"
    sheet.group("What it did", PURPLE, parts.report(sheet, (F, 0), first, frames["IMAGE"], clip, title))
    sheet.group("Video", GREEN, sheet.add("SaveVideo", (E, ROW), (WIDE, 480), video=video["VIDEO"]))
