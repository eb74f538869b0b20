"""A ComfyUI server in a process of its own, for what only a server does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from . import running_comfyui  # isort: skip
import pytest

STARTS_WITHIN = 240.0


class ComfyProcess:
    """A ComfyUI server of its own, with this pack and no other, in a base folder of its own."""

    def __init__(self, base: Path) -> None:
        self.base = base
        (base / "custom_nodes").mkdir()
        (base / "models").mkdir()
        (base / "user").mkdir()
        (base / "custom_nodes" / "safety-steer").symlink_to(running_comfyui.REPOSITORY, target_is_directory=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.base / "log.txt").read_text(errors="replace")[-3000:]

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = ["--cpu", "--port", str(self.port), "--base-directory", str(self.base), "--disable-auto-launch"]
        options += ["--database-url", "sqlite:///:memory:", "--disable-api-nodes", "--whitelist-custom-nodes", "safety-steer"]
        command = [sys.executable, str(Path(running_comfyui.CHECKOUT) / "main.py"), *options, "--disable-all-custom-nodes"]
        with (self.base / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.base, env={**os.environ, "OMP_NUM_THREADS": "1"}
            )
        give_up = time.monotonic() + STARTS_WITHIN
        while not self.answers():
            if self.process.poll() is not None and "ModuleNotFoundError" in self.log:
                pytest.skip(f"this Python cannot start ComfyUI's server: {self.log.splitlines()[-1]}")
            assert self.process.poll() is None, self.log
            assert time.monotonic() < give_up, self.log
            time.sleep(0.5)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/object_info/ApplySafetySteer", timeout=5) as answer:
                return b"strength" in answer.read()
        except OSError:
            return False

    def kill(self) -> None:
        """End the server the hard way, as a crash would."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(timeout=30)
