"""The containers as somebody who has just cloned gets them, driven from outside; no package is needed.

`COMPOSE` and `ENGINE` name the programs (docker compose, docker); any that understand the same words will do.
"""

from __future__ import annotations

import base64
import json
import os
import shlex
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).parent.parent.parent
T = TypeVar("T")


class Stack:
    """A copy of the sources in a folder of its own, under a project name of its own."""

    def __init__(self, folder: Path, *, port: int) -> None:
        self.folder = folder
        self.secrets = folder / ".secrets"
        self.site = f"http://127.0.0.1:{port}"
        self.project = "daygate-compose-test"
        self._compose = shlex.split(os.environ.get("COMPOSE", "docker compose"))
        self._engine = shlex.split(os.environ.get("ENGINE", "docker"))
        own = {"COMPOSE_PROJECT_NAME": self.project, "DAYGATE_PORT": str(port)}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DAYGATE_")}
        self._environment = {**kept, **own, "DAYGATE_IMAGE": "daygate:compose-test"}

    def copy(self) -> None:
        """What git knows of, and what it would take up."""
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
        )
        for name in listed.stdout.decode().split("\0"):
            if name and (ROOT / name).is_file():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.folder / name)

    def adapt(self) -> None:
        """Podman restarts no container while one that it depends on has ended: there, the service waits by itself."""
        if "podman" in self._engine[0]:
            (self.folder / "docker-compose.override.yml").write_text(
                "services:\n  scheduler:\n    depends_on: !override [postgres]\n", encoding="utf-8"
            )

    def script(self, name: str) -> subprocess.CompletedProcess[str]:
        """A script of `deploy/`, as make runs it."""
        return self._run([f"deploy/{name}"])

    def compose(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The compose command."""
        return self._run([*self._compose, *words])

    def engine(self, *words: str) -> str:
        """The engine's command, which must succeed; what it printed."""
        done = self._run([*self._engine, *words])
        assert done.returncode == 0, f"{' '.join(words[:3])}: {done.stderr[-2000:]}"
        return done.stdout.strip()

    def container(self, service: str) -> str:
        """Id of a service's newest container, whether it runs or not."""
        labels = {"project": self.project, "service": service}
        filters = [word for key, value in labels.items() for word in ("-f", f"label=com.docker.compose.{key}={value}")]
        return self.engine("ps", "-a", "-q", "--no-trunc", *filters).splitlines()[0]

    def inspect(self, service: str) -> Any:
        """Everything the engine knows of a service's container."""
        return json.loads(self.engine("inspect", self.container(service)))[0]

    def inside(self, service: str, *words: str) -> subprocess.CompletedProcess[str]:
        """A command inside a service's container."""
        return self._run([*self._engine, "exec", "-i", self.container(service), *words])

    def start_inside(self, service: str, *words: str) -> subprocess.Popen[str]:
        """As `inside`, without waiting for the end."""
        command = [*self._engine, "exec", "-i", self.container(service), *words]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def log(self, service: str) -> str:
        """What a service's container said since it was made."""
        done = self._run([*self._engine, "logs", self.container(service)])
        return done.stdout + done.stderr

    def secret(self, name: str) -> str:
        """What a secret's file holds."""
        return (self.secrets / name).read_text(encoding="utf-8")

    def get(self, path: str, *, login: bool = True, **headers: str) -> tuple[int, bytes]:
        """What the site answers to this machine; 0 when it does not."""
        if login:
            pair = f"daygate:{self.secret('web_password')}"
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        try:
            with urllib.request.urlopen(urllib.request.Request(self.site + path, headers=headers), timeout=10) as found:
                return found.status, found.read()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read()
        except OSError:
            return 0, b""

    def runs(self) -> list[dict[str, Any]]:
        """All runs of the ledger, oldest first; none while it does not answer."""
        status, body = self.get("/api/runs?limit=200")
        return list(reversed(json.loads(body)["runs"])) if status == 200 else []

    def psql(self, role: str, statement: str) -> subprocess.CompletedProcess[str]:
        """A statement under a role's login and password, over the network as any client."""
        address = f"postgresql://daygate_{role}:{self.secret(f'{role}_password')}@127.0.0.1/daygate"
        return self.inside("postgres", "psql", "-X", "-A", "-t", "-c", statement, address)

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.folder, env=self._environment, capture_output=True, text=True, timeout=1800, check=False
        )


def wait_for(seen: Callable[[], T], *, seconds: float = 180) -> T:
    """Look every half second until something is seen."""
    until = time.monotonic() + seconds
    while not (found := seen()):
        assert time.monotonic() < until, "it was not seen in time"
        time.sleep(0.5)
    return found
