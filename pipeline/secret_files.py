"""Secrets from files: `DAYGATE_WEB_PASSWORD_FILE` names the file that holds the password, as containers mount them.

A secret in a variable is shown by whoever looks at the process or the container; a file has an owner.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

from pydantic import SecretStr

from pipeline.errors import SettingsError

SUFFIX: Final = "_FILE"
#: A secret is a line; whatever is longer is another file, or a device without an end.
_LONGEST: Final = 4096


def read(variables: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Variable -> what its file holds, for the variables that have one; an empty file is no secret.

    Raises:
        SettingsError: a file cannot be read, or the secret is given twice.
    """
    found = {}
    for variable in variables:
        named = environment.get(variable + SUFFIX, "")
        if not named:
            continue
        if environment.get(variable):
            raise SettingsError(f"Both {variable} and {variable}{SUFFIX} are set.", hint="Keep one of them")
        secret = _line(Path(named), variable + SUFFIX)
        if secret:
            found[variable] = secret
    return found


def with_password(url: SecretStr | None, password: SecretStr | None) -> SecretStr | None:
    """The database's URL with the password in it, as a parameter that libpq reads wherever the login is.

    Raises:
        SettingsError: a password without a URL; that of the embedded PostgreSQL is its own business.
    """
    if password is None:
        return url
    if url is None:
        raise SettingsError(
            "DAYGATE_DATABASE_PASSWORD is set, and DAYGATE_DATABASE_URL is not.",
            hint="DAYGATE_DATABASE_URL=postgresql://user@host/name",
        )
    address = url.get_secret_value()
    joint = "&" if "?" in address else "?"
    return SecretStr(f"{address}{joint}password={quote(password.get_secret_value(), safe='')}")


def _line(file: Path, variable: str) -> str:
    """The file's one line; no message repeats what is in it."""
    try:
        with file.open("rb") as opened:
            text = opened.read(_LONGEST + 1).decode().rstrip("\r\n")
    except OSError as error:
        raise SettingsError(f"{variable} names {file}, which cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{variable} names {file}, which is not UTF-8.") from None
    if len(text) > _LONGEST or "\n" in text or "\0" in text:
        raise SettingsError(f"{variable} names {file}, which holds more than one line.")
    return text
