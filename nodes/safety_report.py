"""Safety Report: draw what steering did to a prompt, and give it as text and as data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io, ui

from ..safety_steer.choices import THEMES
from .inputs import CATEGORY, ReportSocket, checked_choice, clip_input, prompt_input, search_aliases, theme_input

if TYPE_CHECKING:
    from collections.abc import Iterable

    from comfy.sd import CLIP

    from ..adapters.run_log import RunLog

NOT_YET = (
    "Nothing was sampled yet. Connect what your sampler makes (its LATENT, or the finished IMAGE) to the after input of "
    "Safety Report, so that it runs after sampling."
)
NOT_SEEN = (
    "No sampler behind Apply Safety Steer led to this. Connect the MODEL of Apply Safety Steer to your sampler, and what that "
    "sampler makes to the after input. If ComfyUI kept the picture from before, queue it with another seed."
)
NO_TEXT = "The positive prompt has no text, so there was nothing to steer."


class SafetyReportNode(io.ComfyNode):
    """Measure and draw what an Apply node did; what comes in at `after` goes out unchanged."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node to ComfyUI."""
        return io.Schema(
            node_id="SafetyReport",
            display_name="Safety Report",
            category=CATEGORY,
            **search_aliases("safety", "nsfw", "explain", "flagged words", "inspect"),
            description="See what Apply Safety Steer did: which words were flagged, how far each moved, and how your prompt "
            "stands among harmless ones.",
            inputs=[
                ReportSocket.Input("report", tooltip="The report of an Apply Safety Steer node."),
                theme_input(),
                io.AnyType.Input(
                    "after",
                    optional=True,
                    tooltip="What your sampler makes, or the finished picture. It makes the report wait for sampling, and "
                    "comes out again unchanged. Apply Safety Steer (Conditioning) does not need it.",
                ),
                clip_input(),
                prompt_input(),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The picture of the report."),
                io.String.Output(display_name="text", tooltip="The report in words."),
                io.String.Output(display_name="json", tooltip="The report as data (JSON), with every number that is drawn."),
                io.AnyType.Output(display_name="after", tooltip="What came in at after, unchanged."),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls, report: RunLog, theme: str = "dark", after: Any = None, clip: CLIP | None = None, prompt: str = ""
    ) -> io.NodeOutput:
        """Measure what was kept, find the words of the prompts where a CLIP is there, and draw."""
        from ..adapters import queued_prompt
        from ..adapters.node_image import as_image
        from ..adapters.report_prompts import report_prompts
        from ..adapters.sampling import unasked
        from ..safety_steer.reports.picture import draw_reports
        from ..safety_steer.reports.text import as_text, sentence

        queued, node = cls.hidden.prompt or {}, cls.hidden.unique_id
        nearest = queued_prompt.before(queued, node, ("after", "report"))
        samplers = queued_prompt.before(queued, node, ("after",)) if after is not None and queued else None
        texts = [prompt, *queued_prompt.typed_texts(queued, nearest)] if clip is not None else []
        reports = report_prompts(report, samplers, clip, texts)
        missed = [*report.notices(samplers), *unasked.notices(queued, samplers or ())]
        missed = [line[0].upper() + line[1:] + "." for line in missed]
        seen = report.pictures(samplers)
        of_pictures = [one.text(number) for number, one in enumerate(seen, 1)]
        nothing = "\n".join(of_pictures) or (missed[0] if missed else _why_nothing(report, samplers, after))
        headlines = [*(as_text(one, sentence(one)) for one in reports), *of_pictures] or ([] if missed else [nothing])
        text = "\n".join([*headlines, *missed])
        note = "\n".join([*(missed if reports or of_pictures else missed[1:]), report.how])
        picture = draw_reports(reports, checked_choice("theme", theme, THEMES, "Safety Report"), note, nothing=nothing)
        image = as_image(picture)
        found = {
            "prompts": [one.document() for one in reports],
            "not_reached": missed,
            "pictures": [one.document() for one in seen],
        }
        data = json.dumps({"how": report.how, **found}, allow_nan=False)
        return io.NodeOutput(image, text, data, after, ui=ui.PreviewImage(image, cls=cls))


def _why_nothing(log: RunLog, samplers: Iterable[str] | None, after: Any) -> str:
    if not log.during_sampling or log.ran(samplers):
        return NO_TEXT
    return NOT_YET if after is None else NOT_SEEN
