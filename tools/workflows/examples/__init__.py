"""The example workflows, each drawn by a function of its own."""

from __future__ import annotations

from collections.abc import Callable

from . import demos, directions, from_pictures, negation, pictures, requests, videos
from .sheet import Sheet

WORKFLOWS: dict[str, Callable[[Sheet], None]] = {
    "demo-text-to-image": demos.text_to_image,
    "demo-text-to-video": demos.text_to_video,
    "demo-image-to-image": demos.image_to_image,
    "demo-picture-to-picture": from_pictures.picture_to_picture,
    "demo-picture-to-video": from_pictures.picture_to_video,
    "demo-category-mixing": demos.category_mixing,
    "demo-refuse-unsafe-prompt": demos.refuse,
    "demo-negate-weights": negation.negate_weights,
    "text-to-image": pictures.text_to_image,
    "image-to-image": pictures.image_to_image,
    "text-to-video": videos.text_to_video,
    "image-to-video": videos.image_to_video,
    "picture-to-video": videos.picture_to_video,
    "two-model-video": videos.two_models,
    "refuse-unsafe-requests": requests.refuse_requests,
    "make-a-direction": directions.make_a_direction,
}


def draw(name: str) -> Sheet:
    """Draw an example workflow by name."""
    sheet = Sheet(name)
    WORKFLOWS[name](sheet)
    return sheet
