"""The TypeScript SDK: runs `tests/typescript` with node's own test runner."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from tests.support.provider import Provider
from tests.support.server import ROOT, Server
from tests.wire.control import restart_door

pytestmark = pytest.mark.one_database("postgresql")

HOME = ROOT / "tests" / "typescript"


@pytest.fixture(scope="module")
def node() -> str:
    """Path of node. Skips where it, or the tests' packages, cannot be had."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed; the TypeScript SDK is not tested")
    if not (HOME / "node_modules" / "tsx").is_dir():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("npm is not installed; the TypeScript SDK is not tested")
        done = subprocess.run(
            [npm, "ci", "--no-audit", "--no-fund"], cwd=HOME, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            pytest.skip(f"npm ci failed, so the TypeScript SDK is not tested: {done.stderr.strip()[-200:]}")
    return found


def test_the_tests_are_well_typed(node: str) -> None:
    command = [node, str(HOME / "node_modules" / "typescript" / "bin" / "tsc"), "--noEmit", "-p", str(HOME)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def environment(own_server: Server, provider: Provider) -> Iterator[dict[str, str]]:
    with restart_door(own_server) as door:
        yield {**os.environ, "REVERIE_URL": own_server.url, "PROVIDER_URL": provider.url, "RESTART_URL": door}


def test_typescript(node: str, environment: dict[str, str]) -> None:
    files = sorted(HOME.glob("*.test.ts"))
    # In one process, for each would read the SDK anew.
    imports = "".join(f"import {json.dumps(f'./{path.name}')};\n" for path in files)
    done = subprocess.run(
        [node, "--import", "tsx", "--test-reporter=tap", "--input-type=module", "--eval", imports],
        cwd=HOME,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    passed = done.stdout.count("\nok ") + done.stdout.startswith("ok ")
    assert passed == sum(path.read_text().count('\ntest("') for path in files), done.stdout
