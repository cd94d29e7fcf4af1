"""Every command that a document, a page or a hint names is one that can be typed."""

from __future__ import annotations

import ast
import re

import pytest
from tree import ROOT, SOURCES, files
from typer.main import get_command

from scheduler.cli import app

PACKAGES = ("expectations_custom", "gx", "pipeline", "scheduler")
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
#: Up to where a shell, a sentence or a bracket ends the command.
TYPED = re.compile(r"\bdaygate ((?:--)?[a-z][^\n`|&;<#,)]*)")
MADE = re.compile(r"\bmake ([a-z-]+)")
#: How sentences begin that are no commands.
SENTENCES = ("daygate itself ", "daygate uses ", "make room")


def in_documents() -> dict[str, str]:
    """Console blocks, without continued lines, and code within sentences, of each document."""
    texts = {}
    for file in files(".md"):
        text = file.read_text("utf-8").replace("\\\n", " ")
        blocks = [
            line for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL) for line in block.splitlines()
            if line.startswith("$ ")
        ]  # fmt: skip
        words = re.findall(r"`((?:daygate|make) [^`\n]+)`", text)
        texts[str(file.relative_to(ROOT))] = "\n".join([*blocks, *words])
    return texts


def in_code() -> dict[str, str]:
    """Texts of our own that begin with a command, as hints do; what is filled in later stands as X."""
    texts = {}
    for file, text in SOURCES.items():
        if file.relative_to(ROOT).parts[0] in PACKAGES:
            found = [said(node) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant | ast.JoinedStr)]
            hints = [one for one in found if re.match(r"daygate |make ", one) and not one.startswith(SENTENCES)]
            texts[str(file.relative_to(ROOT))] = "\n".join(hints)
    return texts


def said(node: ast.Constant | ast.JoinedStr) -> str:
    """A literal's text."""
    if isinstance(node, ast.JoinedStr):
        return "".join(said(part) if isinstance(part, ast.Constant) else "X" for part in node.values)
    return node.value if isinstance(node.value, str) else ""


def strangers(text: str) -> list[str]:
    """Commands, flags and targets of a text that there are not."""
    found = [f"make {target}" for target in MADE.findall(text) if target not in TARGETS]
    for typed in TYPED.findall(text):
        command, words = get_command(app), re.findall(r"[^\s\[\]=,.:]+", typed)
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        known = {flag for option in command.params for flag in option.opts} | {"--help", "--debug"}
        unknown = [word for word in words if word.startswith("--") and word not in known]
        if unknown or (hasattr(command, "commands") and words and words[0] not in known):
            found.append(f"daygate {typed}")
    return found


TEXTS = {name: text for name, text in {**in_documents(), **in_code()}.items() if text}


@pytest.mark.parametrize("name", TEXTS)
def test_every_command_that_is_named_can_be_typed(name):
    """Commands, their flags and make's targets are there under these names."""
    assert strangers(TEXTS[name]) == []
