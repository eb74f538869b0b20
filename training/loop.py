"""The training loop all stages share: a budget in minutes, cosine schedule, averaged weights, checkpoints, a log."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .distributed import average_gradients, rank, share_matrices, world

Log = dict[str, Any]
LONGEST_STEP = 0.3  # minutes; a longer one means that the process was paused, and a pause spends no budget


@dataclass(frozen=True)
class Run:
    """What was asked for: where the data lies, how long to train on how many scenes, in how many processes, and how."""

    work: Path
    minutes: float
    pictures: int
    processes: int
    from_weights: bool = False
    compiled: bool = False


@dataclass
class Plan:
    """How to train one stage."""

    name: str
    work: Path
    minutes: float
    rate: float
    matrix_rate: float = 0.0
    average: float = 0.999
    save_minutes: float = 3.0
    warmup: float = 0.01
    options: dict[str, Any] = field(default_factory=dict)


def train(
    plan: Plan, module: nn.Module, loss_of: Callable[[int, float], Tensor], save: Callable[[nn.Module, Log], Log | None]
) -> nn.Module:
    """Train until the budget of minutes is spent; go on from a checkpoint if there is one; return averaged weights.

    `loss_of(step, share)` draws a batch by the step's number, told which share of the budget is spent, and returns its loss.
    `save` gets the averaged module every few minutes and at the end, and may return figures for the log.
    """
    optimizers = _optimizers(module, plan)
    averaged = copy.deepcopy(module).eval().requires_grad_(False)
    checkpoint = plan.work / f"{plan.name}.checkpoint.{rank()}.pt"
    step, spent = 0, 0.0
    if checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True)
        module.load_state_dict(state["module"])
        averaged.load_state_dict(state["averaged"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        step, spent = state["step"], state["spent"]
    last, saved_at, losses, agreed = time.monotonic(), spent, 0.0, spent
    while agreed < plan.minutes:
        share = agreed / plan.minutes
        factor = min(1.0, share / plan.warmup + 0.02) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["base"] * factor
        torch.manual_seed(step * world() + rank())
        loss = loss_of(step * world() + rank(), share)
        loss.backward()
        agreed = average_gradients(module, spent)
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        share_matrices(matrices(module, plan))
        module.zero_grad(set_to_none=True)
        decay = min(plan.average, (step + 1) / (step + 20))
        _average(averaged, module, decay)
        step += 1
        losses = 0.98 * losses + 0.02 * loss.item() if losses else loss.item()
        now = time.monotonic()
        spent += min((now - last) / 60, LONGEST_STEP)
        last = now
        if step % 50 == 0 and rank() == 0:
            _log(plan, {"step": step, "minutes": round(spent, 2), "loss": round(losses, 5)})
        if agreed - saved_at >= plan.save_minutes:
            saved_at = agreed
            _checkpoint(checkpoint, module, averaged, optimizers, step, spent)
            if rank() > 0:
                continue
            _log(plan, {"step": step, "minutes": round(spent, 2), **(save(averaged, {"step": step}) or {})})
            last = time.monotonic()
    _checkpoint(checkpoint, module, averaged, optimizers, step, spent)
    if rank() > 0:
        return averaged
    _log(plan, {"step": step, "minutes": round(spent, 2), "done": True, **(save(averaged, {"step": step, "done": True}) or {})})
    return averaged


def _optimizers(module: nn.Module, plan: Plan) -> list[torch.optim.Optimizer]:
    """Matrices inside blocks are orthogonalised (Muon) where a rate for them is given; the rest goes to AdamW."""
    inner = matrices(module, plan)
    chosen = {id(p) for p in inner}
    rest = [p for p in module.parameters() if id(p) not in chosen]
    result: list[torch.optim.Optimizer] = [
        torch.optim.AdamW([{"params": rest, "base": plan.rate}], lr=plan.rate, betas=(0.9, 0.97), weight_decay=0.01)
    ]
    if inner:
        result.append(
            torch.optim.Muon(
                [{"params": inner, "base": plan.matrix_rate}], lr=plan.matrix_rate, weight_decay=0.01, momentum=0.95
            )
        )
    return result


def matrices(module: nn.Module, plan: Plan) -> list[nn.Parameter]:
    """Return the matrices inside blocks, which are orthogonalised; each process does its share of them."""
    if not plan.matrix_rate:
        return []
    named = module.named_parameters()
    return [p for name, p in named if name.startswith("blocks.") and p.dim() == 2 and "table" not in name]


def _average(averaged: nn.Module, module: nn.Module, decay: float) -> None:
    with torch.no_grad():
        torch._foreach_lerp_(list(averaged.parameters()), [p.detach() for p in module.parameters()], 1 - decay)
        for mine, other in zip(averaged.buffers(), module.buffers(), strict=True):
            mine.copy_(other)


def _checkpoint(
    path: Path, module: nn.Module, averaged: nn.Module, optimizers: Iterable[torch.optim.Optimizer], step: int, spent: float
) -> None:
    temporary = path.with_suffix(".part")
    torch.save(
        {
            "module": module.state_dict(),
            "averaged": averaged.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in optimizers],
            "step": step,
            "spent": spent,
        },
        temporary,
    )
    temporary.replace(path)


def _log(plan: Plan, row: Log) -> None:
    with (plan.work / f"{plan.name}.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
