"""Programs of the older client SDK, unmodified."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.provider import Provider
from tests.support.sdk import OLDEST, NotInstalled, sdk_place
from tests.support.server import ROOT, Server
from tests.wire.control import restart_door

pytestmark = pytest.mark.one_database("sqlite")


@pytest.fixture(scope="session")
def older_sdk() -> Path:
    """A directory with that client and nothing else."""
    try:
        return sdk_place(OLDEST)
    except NotInstalled as missing:
        pytest.skip(str(missing))


def test_the_main_job_of_the_older_sdk(own_server: Server, provider: Provider, older_sdk: Path) -> None:
    with restart_door(own_server) as door:
        told = subprocess.run(
            [sys.executable, str(ROOT / "tests" / "wire" / "job_1_7_1.py")],
            env={
                **os.environ,
                "PYTHONPATH": str(older_sdk),
                "REVERIE_URL": own_server.url,
                "PROVIDER_URL": provider.url,
                "RESTART_URL": door,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert told.returncode == 0, told.stderr[-3000:]
    assert told.stdout.endswith("told to the end\n")
