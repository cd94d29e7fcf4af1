"""Who may read the site, and under which name it may be reached."""

from __future__ import annotations

import binascii
import hmac
import re
from base64 import b64decode
from collections.abc import Callable
from hashlib import sha256
from ipaddress import ip_address
from typing import Final

from pipeline.errors import SettingsError
from pipeline.settings import Settings

_HINT: Final = "Set DAYGATE_WEB_USER and DAYGATE_WEB_PASSWORD, or DAYGATE_WEB_HOST=127.0.0.1"
_HOST: Final = re.compile(r"(?:\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::[0-9]*)?")
#: Answers whether an Authorization header (None when there was none) opens the site.
Doorkeeper = Callable[[bytes | None], bool]


def doorkeeper(settings: Settings) -> Doorkeeper:
    """The doorkeeper of these settings; without a login everyone on this machine is let in.

    Raises:
        SettingsError: half a login, or none although the site would be reachable from elsewhere.
    """
    user = settings.web_user or ""
    password = settings.web_password.get_secret_value() if settings.web_password else ""
    if bool(user) != bool(password):
        raise SettingsError("Only one half of the site's login is set.", hint=_HINT)
    if ":" in user:
        raise SettingsError("DAYGATE_WEB_USER cannot hold a colon: it ends the name in a login.")
    if not user and not _is_loopback(settings.web_host):
        raise SettingsError("The site would be open to everyone who reaches this machine.", hint=_HINT)
    if not user:
        return lambda _: True
    known = _digest(f"{user}:{password}".encode())
    # Digests are of equal length, so the time of the comparison tells nothing about the login.
    return lambda header: hmac.compare_digest(known, _digest(_credentials(header)))


def _is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address; a name other than localhost might be anything."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _credentials(header: bytes | None) -> bytes:
    """`user:password` of a Basic header; empty, which opens nothing, for anything else."""
    scheme, _, encoded = (header or b"").partition(b" ")
    if scheme.lower() != b"basic":
        return b""
    try:
        return b64decode(encoded.strip(), validate=True)
    except binascii.Error:
        return b""


def _digest(text: bytes) -> bytes:
    return sha256(text).digest()


def known_names(settings: Settings) -> frozenset[str]:
    """The names and addresses under which the site answers, in lower case.

    Anything else is a page of someone else that had its own name point here.
    """
    return frozenset(
        name.lower().strip("[]") for name in ("localhost", "127.0.0.1", "::1", settings.web_host, *settings.web_hosts)
    )


def name_of(host: str) -> str:
    """The name of a Host header without its port, in lower case; empty when it is no such header."""
    found = _HOST.fullmatch(host.lower())
    return (found["address"] or found["name"]) if found else ""
