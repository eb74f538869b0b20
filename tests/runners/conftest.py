"""A Ray cluster of two nodes on this computer, for the tests that need one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from safety_steer.runners.runner import Runner, open_runner

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Runner]:
    """Start two nodes of one processor each, whose workers can import the tests, and stop them."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    previous = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(FOLDER), str(ROOT), *filter(None, [previous])])
    made: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    yield open_runner(None, made.address)
    ray.shutdown()
    made.shutdown()
    if previous is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = previous
