"""The local server in Slack's place, one a test."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from slack_server import SlackServer


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    """A local server in Slack's place."""
    server = SlackServer()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()
    thread.join()
