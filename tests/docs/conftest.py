"""One server for all pages: what is told there does not depend on the database."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conftest import MODEL
from tests.support.provider import Provider
from tests.support.server import ROOT, Server, provider_environment, running_server

PACKAGES = ROOT / "tests" / "typescript" / "node_modules"

Run = Callable[[Path], str]


@pytest.fixture(scope="module")
def _page_server(_provider: Provider) -> Iterator[Server]:
    with running_server(None, provider_environment(_provider)) as server:
        yield server


@pytest.fixture
def page_server(_page_server: Server, provider: Provider) -> Server:
    """A server over SQLite, with the scripted provider."""
    return _page_server


@pytest.fixture
def run_python(page_server: Server) -> Run:
    """Runs a program as a reader would; returns what it printed."""
    return lambda program: _output(page_server, program.parent, sys.executable, str(program))


@pytest.fixture
def run_typescript(page_server: Server, tmp_path: Path) -> Run:
    """Runs a TypeScript program; returns what it printed. Skips where Node.js or the packages are missing."""
    node = shutil.which("node")
    if node is None or not (PACKAGES / "tsx").is_dir():
        pytest.skip("no Node.js with the packages of tests/typescript; TypeScript of the pages is not run")

    def run(program: Path) -> str:
        (tmp_path / "package.json").write_text('{"type": "module"}')
        (tmp_path / "node_modules").symlink_to(PACKAGES)
        copy = shutil.copy(program, tmp_path / "program.ts")
        return _output(page_server, tmp_path, node, "--import", "tsx", str(copy))

    return run


def _output(server: Server, folder: Path, *command: str) -> str:
    environment = {**os.environ, "REVERIE_URL": server.url, "REVERIE_MODEL": MODEL, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
