"""The names a user chooses among are those of the registries that do the work, and import none of them."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from safety_steer import choices
from safety_steer.alignment.align_direction import THRESHOLDS
from safety_steer.alignment.maps import MAPS
from safety_steer.alignment.vision_ways import WAYS
from safety_steer.extraction.estimators import ESTIMATORS
from safety_steer.negation.layers import KINDS
from safety_steer.reports.canvas import THEMES
from safety_steer.steering.gate import MODES
from safety_steer.steering.operators import OPERATORS
from safety_steer.steering.presets import PRESETS

REGISTRIES = {
    "MAPS": MAPS,
    "THRESHOLDS": THRESHOLDS,
    "ESTIMATORS": ESTIMATORS,
    "OPERATORS": OPERATORS,
    "GATES": MODES,
    "PRESETS": PRESETS,
    "VISION_WAYS": WAYS,
    "THEMES": THEMES,
    "NEGATED_LAYERS": KINDS,
}


@pytest.mark.parametrize(("name", "registry"), REGISTRIES.items(), ids=str)
def test_a_list_of_names_is_its_registry(name: str, registry: Iterable[str]) -> None:
    assert getattr(choices, name) == tuple(registry)


def test_every_list_has_a_registry() -> None:
    assert {name for name in vars(choices) if name.isupper()} == set(REGISTRIES)
