"""One Spark for all tests of a process: small, on this machine, without its pages.

A test module takes it by `pytest_plugins = ["spark_fixtures"]` beside `pytestmark = pytest.mark.spark`.
What the code under test asks for with other settings is this very session: a process has one.
"""

from __future__ import annotations

import pytest

from pipeline.settings import Settings
from pipeline.spark import session as sessions


@pytest.fixture(scope="session")
def spark_settings(tmp_path_factory):
    """Settings of the shared session; its files go away with it."""
    return Settings(
        home=tmp_path_factory.mktemp("spark-home"),
        spark_master="local[2]",
        spark_driver_memory="1g",
        spark_shuffle_partitions=2,
        spark_ui=False,
    )


@pytest.fixture(scope="session")
def spark(spark_settings):
    """The shared session."""
    with pytest.MonkeyPatch.context() as patch:
        # Tests have little data: thorough compilation would cost more than it spares.
        patch.setenv("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        with sessions.session(spark_settings) as session:
            yield session
    sessions.stop()
