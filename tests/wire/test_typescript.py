"""The TypeScript SDK: runs `tests/typescript` with node's own test runner."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

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


@pytest.mark.parametrize("file", sorted(path.name for path in HOME.glob("*.test.ts")))
def test_typescript(node: str, environment: dict[str, str], file: str) -> None:
    done = subprocess.run(
        [node, "--import", "tsx", "--test", "--test-reporter=tap", file],
        cwd=HOME,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    passed = done.stdout.count("\nok ") + done.stdout.startswith("ok ")
    assert passed == _tests_in(HOME / file), done.stdout


def _tests_in(path: Path) -> int:
    return path.read_text().count('\ntest("')
