"""One server and one interpreter of each language for all pages: what is told there does not depend on the database."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conftest import MODEL
from tests.support.interpreter import Interpreter
from tests.support.provider import Provider
from tests.support.server import ROOT, Server, provider_environment, running_server

PACKAGES = ROOT / "tests" / "typescript" / "node_modules"

Run = Callable[[Path], str]


@pytest.fixture(scope="session")
def _page_server(_provider: Provider) -> Iterator[Server]:
    # Where the programs of the tests' packages are, such as an MCP server.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with running_server(None, {**provider_environment(_provider), "PATH": path}) as server:
        yield server


@pytest.fixture
def page_server(_page_server: Server, provider: Provider) -> Server:
    """A server over SQLite, with the scripted provider."""
    return _page_server


@pytest.fixture(scope="session")
def _python(_page_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interpreter]:
    with Interpreter.python(tmp_path_factory.mktemp("python"), _environment(_page_server)) as interpreter:
        yield interpreter


@pytest.fixture
def run_python(_python: Interpreter, page_server: Server) -> Run:
    """Runs a program as a reader would; returns what it printed."""
    return _python.run


@pytest.fixture(scope="session")
def _node(_page_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Interpreter, Path]]:
    node = shutil.which("node")
    if node is None or not (PACKAGES / "tsx").is_dir():
        pytest.skip("no Node.js with the packages of tests/typescript; TypeScript of the pages is not run")
    folder = tmp_path_factory.mktemp("typescript")
    with Interpreter.node(node, PACKAGES, folder, _environment(_page_server)) as interpreter:
        yield interpreter, folder


@pytest.fixture
def run_typescript(_node: tuple[Interpreter, Path], page_server: Server) -> Run:
    """Runs a TypeScript program; returns what it printed. Skips where Node.js or the packages are missing."""
    interpreter, folder = _node

    def run(program: Path) -> str:
        # Node.js resolves packages from a module's own place, and loads each place once.
        return interpreter.run(Path(shutil.copy(program, folder / f"{program.parent.name}-{program.name}")))

    return run


def _environment(server: Server) -> dict[str, str]:
    return {**os.environ, "REVERIE_URL": server.url, "REVERIE_MODEL": MODEL, "PYTHONWARNINGS": "error"}
