"""Queue a graph in a ComfyUI server as a browser does: with the events it is sent meanwhile, and the history afterwards."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from dataclasses import dataclass
from typing import Any

import aiohttp
import psutil

from .comfy_process import ComfyProcess

CLIENT = "test"
WITHIN = 600.0
ENDS = ("execution_success", "execution_error", "execution_interrupted")
PROGRESS_TEXT = 3
JSON = {"Content-Type": "application/json"}
HEARD = 1.0  # seconds


@dataclass(frozen=True)
class Ran:
    """One run of a graph: its events in order, the texts sent to nodes while it ran, and what the history keeps of it."""

    events: list[tuple[str, Any]]
    texts: dict[str, str]
    history: dict[str, Any]

    @property
    def executed(self) -> list[str]:
        """Which nodes were executed; cached ones are left out."""
        return [data["node"] for event, data in self.events if event == "executing" and data["node"]]

    @property
    def succeeded(self) -> bool:
        return self.history["status"]["status_str"] == "success"


def run(comfy: ComfyProcess, graph: dict[str, Any]) -> Ran:
    """Queue a graph and wait for its end."""
    return asyncio.run(asyncio.wait_for(_run(comfy.url, graph), WITHIN))


def forget(comfy: ComfyProcess) -> None:
    """Have the server forget models and what it keeps of earlier runs; it does so as soon as it is idle, and tells nobody."""
    request = urllib.request.Request(f"{comfy.url}/free", b'{"unload_models": true, "free_memory": true}', JSON)
    with urllib.request.urlopen(request, timeout=WITHIN):
        time.sleep(HEARD)


def resident_bytes(comfy: ComfyProcess) -> int:
    """Return how much memory the server's process holds."""
    assert comfy.process is not None
    return int(psutil.Process(comfy.process.pid).memory_info().rss)


async def _run(url: str, graph: dict[str, Any]) -> Ran:
    events: list[tuple[str, Any]] = []
    texts: dict[str, str] = {}
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/ws?clientId={CLIENT}", max_msg_size=0) as socket:
        async with session.post(f"{url}/prompt", json={"prompt": graph, "client_id": CLIENT}) as answer:
            queued = await answer.json()
        assert "prompt_id" in queued, queued
        async for message in socket:
            if message.type == aiohttp.WSMsgType.BINARY and int.from_bytes(message.data[:4], "big") == PROGRESS_TEXT:
                size = int.from_bytes(message.data[4:8], "big")
                texts[message.data[8 : 8 + size].decode()] = message.data[8 + size :].decode()
            elif message.type == aiohttp.WSMsgType.TEXT:
                told = json.loads(message.data)
                events.append((told["type"], told["data"]))
                if told["type"] in ENDS:
                    break
        # The history is written after the last event is sent.
        for _ in range(100):
            async with session.get(f"{url}/history/{queued['prompt_id']}") as answer:
                found = (await answer.json()).get(queued["prompt_id"])
            if found:
                return Ran(events, texts, found)
            await asyncio.sleep(0.1)
    raise AssertionError("the run ended and is in no history")
