"""Every program of examples/, run as it stands against a real server."""

import hashlib
import hmac

import pytest
from tests.docs.conftest import Run
from tests.support.provider import Provider
from tests.support.replies import call, say
from tests.support.server import ROOT, Server

EXAMPLES = ROOT / "examples"
LEARNT = "Ada, who studies octopuses."
REMEMBER = call("memory_replace", label="human", old_string="Nothing is known about the user yet.", new_string=LEARNT)


@pytest.fixture(autouse=True)
def tidy(page_server: Server) -> None:
    """An example leaves the server as it found it."""
    assert list(page_server.client.agents.list()) == []


def test_hello_memory(run_python: Run, provider: Provider) -> None:
    provider.script(REMEMBER, say("Noted."), say("You are Ada."))
    assert run_python(EXAMPLES / "python/01_hello_memory.py") == f"human block: {LEARNT}\nagent: You are Ada.\n"
    assert LEARNT in provider.requests[-1].system
    assert provider.requests[-1].shape == ["system", "user"], "the second conversation begins empty"


def test_custom_tool(run_python: Run, provider: Provider) -> None:
    signature = hmac.new(b"octopus", b"three hearts", hashlib.sha256).hexdigest()
    provider.script(call("sign", text="three hearts"), say("Signed."))
    printed = run_python(EXAMPLES / "python/02_custom_tool.py").splitlines()
    assert printed == ['calls: sign {"text": "three hearts"}', f"result: success {signature}", "agent: Signed."]
    assert "octopus" not in "".join(request.raw.decode() for request in provider.requests)


def test_streaming(run_python: Run, provider: Provider) -> None:
    provider.script(say("They have three hearts."))
    printed = run_python(EXAMPLES / "python/03_streaming.py")
    assert printed.startswith("They have three hearts.\n\nended: end_turn\ntokens: ")


def test_shared_block(run_python: Run, provider: Provider) -> None:
    news = "Fresh squid at the market."
    provider.script(
        call("memory_replace", label="board", old_string="Nothing has happened yet.", new_string=news),
        say("They know."),
        say("Squid!"),
    )
    assert run_python(EXAMPLES / "python/04_shared_block.py") == f"board: {news}\ncook: Squid!\n"
    assert news in provider.requests[-1].system


def test_hello_memory_in_typescript(run_typescript: Run, provider: Provider) -> None:
    provider.script(REMEMBER, say("Noted."))
    printed = run_typescript(EXAMPLES / "typescript/01-hello-memory.ts")
    assert printed == f"agent: Noted.\nhuman block: {LEARNT}\n"


def test_every_example_is_run_here_and_listed() -> None:
    programs = [
        path.name for path in EXAMPLES.rglob("*") if path.suffix in (".py", ".ts") if "node_modules" not in path.parts
    ]
    tests, page = (ROOT / "tests/docs/test_examples.py").read_text(), (EXAMPLES / "README.md").read_text()
    assert [name for name in programs if name not in tests] == []
    assert [name for name in programs if name not in page] == []
