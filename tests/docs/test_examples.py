"""Every program of examples/, run as it stands against a real server."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.docs.conftest import Run
from tests.docs.lessons import EXAMPLES, LESSONS, Lesson
from tests.support.provider import Provider
from tests.support.server import ROOT, Server, running_server

from reverie.models import toy


@pytest.fixture(autouse=True)
def tidy(page_server: Server) -> Iterator[None]:
    """An example leaves the server as it found it."""
    before = _stored(page_server)
    yield
    assert _stored(page_server) == before


def _stored(server: Server) -> list[str]:
    client = server.client
    stored = [item.id for item in [*client.agents.list(), *client.blocks.list(), *client.archives.list()]]
    return stored + [tool.id for tool in client.tools.list() if tool.tool_type == "custom"]


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.program)
def test_an_example(lesson: Lesson, provider: Provider, request: pytest.FixtureRequest) -> None:
    run: Run = request.getfixturevalue("run_python" if lesson.program.endswith(".py") else "run_typescript")
    provider.script(*lesson.replies)
    printed = run(EXAMPLES / lesson.program)
    assert lesson.faults(printed, provider.requests) == []
    assert provider.unused == 0


@pytest.mark.skipif(not toy.is_installed(), reason="the extra `toy` is not installed")
def test_examples_that_need_words_alone_run_on_a_real_model() -> None:
    model = toy.start_toy(context_window=2048, threads=1, longest_reply=16)
    environment = {"LLAMACPP_BASE_URL": model.base_url, "LLAMACPP_HANDLE_BASE": model.options.name}
    try:
        with running_server(None, environment) as server:
            for program in ("05_send_message.py", "06_send_message_stream.py"):
                told = {**os.environ, "REVERIE_URL": server.url, "REVERIE_MODEL": model.handle}
                command = [sys.executable, str(EXAMPLES / "python" / program)]
                done = subprocess.run(command, env=told, capture_output=True, text=True, timeout=120, check=False)
                assert done.returncode == 0, done.stderr
                assert "ended: " in done.stdout, done.stdout
    finally:
        model.stop()


def test_thirteen_in_each_language_are_run_and_listed() -> None:
    programs = {f"python/{path.name}" for path in EXAMPLES.glob("python/*.py")}
    programs |= {f"typescript/{path.name}" for path in EXAMPLES.glob("typescript/*.ts")}
    page = (ROOT / "examples/README.md").read_text()
    assert {lesson.program for lesson in LESSONS} == programs
    assert len(programs) == 26
    assert [program for program in programs if f"({program})" not in page] == []
