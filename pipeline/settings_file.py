"""Writes single settings into `daygate.toml`: other keys, comments and order stay as they are."""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import ValidationError
from tomlkit.exceptions import TOMLKitError

from pipeline.errors import SettingsError
from pipeline.settings import Settings

#: table -> key -> (value, why), as `daygate.toml` nests them; the why becomes a comment beside a new key.
Changes = Mapping[str, Mapping[str, tuple[Any, str]]]


def section(changes: Changes) -> str:
    """The changes as a piece of TOML of its own, empty for none."""
    return _merged("", changes).rstrip("\n")


def _merged(text: str, changes: Changes) -> str:
    """The TOML text with the changes in it, each in the place its key already has.

    Raises:
        SettingsError: the text is no TOML, or a table of ours is something else there.
    """
    try:
        document = tomlkit.parse(text)
        for name, values in changes.items():
            table = document.setdefault(name, tomlkit.table())
            for key, (value, why) in values.items():
                known = key in table
                table[key] = tomlkit.item(value) if known or not why else tomlkit.item(value).comment(why)
        return tomlkit.dumps(document)
    except (TOMLKitError, TypeError, AttributeError) as error:
        raise SettingsError(f"The settings file cannot be changed ({type(error).__name__}).") from error


def write(path: Path, changes: Changes) -> None:
    """Change the file as one replacement, made only when the result reads back as the settings meant.

    A file that is not there is made; a symbolic link keeps pointing to what it did.

    Raises:
        SettingsError: the file cannot be read, changed or written; it is as it was.
    """
    target = path.resolve()
    partial = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        old = target.read_text(encoding="utf-8") if target.exists() else ""
        new = _merged(old, changes)
        _prove(path, new, changes)
        partial.write_text(new, encoding="utf-8")
        if target.exists():
            shutil.copymode(target, partial)
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(target)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: is not UTF-8.") from error
    finally:
        partial.unlink(missing_ok=True)


def _prove(path: Path, text: str, changes: Changes) -> None:
    """What is about to be written must read back, with every change in it and every value accepted."""
    try:
        document = tomllib.loads(text)
        Settings.model_validate(document)
    except (ValidationError, ValueError) as error:
        raise SettingsError(f"{path}: the changed file would not be valid ({type(error).__name__}).") from error
    for name, values in changes.items():
        for key, (value, _) in values.items():
            if document[name][key] != value:
                raise SettingsError(f"{path}: {name} cannot be changed there.", hint=f"Write [{name}] by hand")
