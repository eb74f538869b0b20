"""Is a map better than chance? Judged on anchors it was not fitted to, against the same map fitted on shuffled anchors."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ..errors import AlignmentError
from .maps import fit_maps

REPORT_ANCHORS = 1280  # by hand; so that the check costs less than the fit


def held_out_report(name: str, source: Tensor, target: Tensor) -> dict[str, float]:
    """Judge a map on a fifth of the anchors, and the same map fitted on shuffled anchors.

    R2 and cosine (with its standard error) of predicted against true standardised states, and retrieval@1 among the
    held-out prompts. At most 1,280 anchors are used, so that the check costs less than the fit.
    """
    rows = torch.randperm(len(source), generator=torch.Generator().manual_seed(0))[:REPORT_ANCHORS]
    test, train = rows[: len(rows) // 5], rows[len(rows) // 5 :]
    shuffled = train[torch.randperm(len(train), generator=torch.Generator().manual_seed(1))]
    report: dict[str, float] = {}
    truth = target[test]
    fitted = fit_maps(name, source[train], [target[train], target[shuffled]])
    for prefix, mapped in zip(("", "shuffled_"), fitted, strict=True):
        predicted = mapped(source[test])
        unit_predicted = torch.nn.functional.normalize(predicted, dim=-1)
        similarity = unit_predicted @ torch.nn.functional.normalize(truth, dim=-1).T
        report |= {
            f"{prefix}r2": float(1 - (truth - predicted).square().sum() / truth.square().sum()),
            f"{prefix}cosine": float(similarity.diagonal().mean()),
            f"{prefix}cosine_error": float(similarity.diagonal().std() / math.sqrt(len(test))),
            f"{prefix}retrieval": float((similarity.argmax(-1) == torch.arange(len(test))).double().mean()),
        }
    return report


def refuse_chance(report: Mapping[str, float], space: str) -> None:
    """Raise AlignmentError when a map predicts held-out anchors no better than one fitted on shuffled anchors."""
    noise = math.hypot(report["cosine_error"], report["shuffled_cosine_error"])
    ahead = report["cosine"] - report["shuffled_cosine"] > max(0.02, 4 * noise)
    if not ahead or report["retrieval"] <= report["shuffled_retrieval"]:
        raise AlignmentError(
            f"The map to {space} is no better than chance: held-out cosine {report['cosine']:.3f} against "
            f"{report['shuffled_cosine']:.3f} with shuffled anchors. Use more anchors, or another encoder: this one does "
            "not share the source's meaning."
        )
