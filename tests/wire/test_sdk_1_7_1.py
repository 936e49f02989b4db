"""Programs of the older client SDK, unmodified."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.provider import Provider
from tests.support.server import ROOT, Server
from tests.wire.control import restart_door

VERSION = "1.7.1"


@pytest.fixture(scope="session")
def older_sdk() -> Path:
    """A directory with that client and nothing else; installed once and kept in the environment."""
    place = Path(sys.prefix) / f"letta-client-{VERSION}"
    with (Path(sys.prefix) / f".letta-client-{VERSION}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            fresh = place.with_suffix(".part")
            shutil.rmtree(fresh, ignore_errors=True)
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(fresh)]
            done = subprocess.run([*command, f"letta-client=={VERSION}"], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                pytest.skip(f"letta-client {VERSION} cannot be installed: {done.stderr.strip()[-200:]}")
            fresh.rename(place)
    return place


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
