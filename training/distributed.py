"""Training by several one-thread processes that average their gradients once a step.

On a busy machine this is several times faster than threads inside one process, which wait for each other in every operation.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn


def rank() -> int:
    """Return this process's number; 0 is the one that logs and saves."""
    return int(os.environ.get("RANK", "0"))


def world() -> int:
    """Return how many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def start(work: Path, processes: int) -> list[subprocess.Popen[bytes]]:
    """Make this process the first of several, start the others with the same command line, and connect them."""
    children: list[subprocess.Popen[bytes]] = []
    if processes > 1 and "RANK" not in os.environ:
        meeting = work / f"meeting.{os.getpid()}"
        meeting.unlink(missing_ok=True)
        os.environ |= {"WORLD_SIZE": str(processes), "MEETING": str(meeting.resolve()), "OMP_NUM_THREADS": "1"}
        for number in range(1, processes):
            children.append(subprocess.Popen([sys.executable, *sys.argv], env={**os.environ, "RANK": str(number)}))
        os.environ["RANK"] = "0"
    if world() > 1:
        torch.set_num_threads(1)
        dist.init_process_group("gloo", f"file://{os.environ['MEETING']}", timedelta(hours=2), world_size=world(), rank=rank())
    return children


@contextmanager
def first_alone() -> Iterator[None]:
    """Let process 0 pass first, so that data is made once and then read by the others."""
    if world() > 1 and rank() > 0:
        dist.barrier()
    yield
    if world() > 1 and rank() == 0:
        dist.barrier()


def average_gradients(module: nn.Module, clock: float) -> float:
    """Average all gradients over the processes; return process 0's clock, so that all follow one schedule."""
    if world() == 1:
        return clock
    parameters = [p for p in module.parameters() if p.grad is not None]
    own = torch.tensor([clock * world() if rank() == 0 else 0.0])
    flat = torch.cat([*(p.grad.flatten() for p in parameters if p.grad is not None), own])
    dist.all_reduce(flat)
    flat /= world()
    start_at = 0
    for p in parameters:
        assert p.grad is not None
        p.grad.copy_(flat[start_at : start_at + p.numel()].view_as(p))
        start_at += p.numel()
    return float(flat[-1])


@torch.no_grad()
def share_matrices(parameters: list[nn.Parameter]) -> None:
    """Give every process the matrices that the others have moved: process r moves every world-th one, from r on."""
    if world() == 1 or not parameters:
        return
    mine = [index % world() == rank() for index in range(len(parameters))]
    flat = torch.cat([p.flatten() if own else torch.zeros(p.numel()) for p, own in zip(parameters, mine, strict=True)])
    dist.all_reduce(flat)
    start_at = 0
    for p in parameters:
        p.copy_(flat[start_at : start_at + p.numel()].view_as(p))
        start_at += p.numel()
