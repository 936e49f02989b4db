"""Keys over the wire: made and ended beside a running server, and what each scope opens."""

import subprocess
import sys
from collections.abc import Callable

import pytest
from letta_client import AuthenticationError, Letta, PermissionDeniedError
from tests.support.server import ROOT, Server
from tests.wire.conftest import StartServer
from tests.wire.samples import bare_agent, echo_source

pytestmark = pytest.mark.one_database("sqlite")


def keys(server: Server, *words: str) -> str:
    """`reverie keys …` over the database of a running server."""
    command = [sys.executable, "-m", "reverie", "keys", *words, "--data-dir", str(server.data_dir)]
    command += ["--database-url", str(server.database_url)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT / "src"), "PATH": ""}
    )
    return done.stdout.strip()


def client_with(server: Server, *words: str) -> Letta:
    key = keys(server, "create", "a key", *words)
    return Letta(base_url=server.url, api_key=key, max_retries=0, _strict_response_validation=True)


@pytest.fixture
def guarded(start_server: StartServer) -> Server:
    return start_server("--host", "0.0.0.0")


def test_each_scope_opens_its_own_and_keys_end_at_once(guarded: Server) -> None:
    usual = client_with(guarded)
    agent = bare_agent(usual)
    tool = usual.tools.create(source_code=echo_source())
    with client_with(guarded, "--scope", "read") as reader:
        assert reader.agents.retrieve(agent.id).id == agent.id
        with pytest.raises(PermissionDeniedError, match="lacks the scope 'write'"):
            reader.agents.update(agent.id, name="mine")
        with pytest.raises(PermissionDeniedError, match="lacks the scope 'tools'"):
            reader.tools.create(source_code=echo_source("other"))
    with client_with(guarded, "--scope", "write") as writer:
        assert writer.agents.update(agent.id, name="ours").name == "ours"
        writer.agents.tools.attach(tool.id, agent_id=agent.id)
        ways: list[Callable[[], object]] = [
            lambda: writer.tools.create(source_code=echo_source("other")),
            lambda: writer.tools.update(tool.id, source_code=echo_source("other")),
            lambda: writer.tools.delete(tool.id),
            lambda: writer.agents.tools.run("echo", agent_id=agent.id, args={"text": "x"}),
            lambda: writer.mcp_servers.create(
                server_name="s", config={"mcp_server_type": "streamable_http", "server_url": "http://localhost:1/mcp"}
            ),
        ]
        for bring_code in ways:
            with pytest.raises(PermissionDeniedError, match="lacks the scope 'tools'"):
                bring_code()
    with client_with(guarded, "--scope", "tools") as maker:
        assert maker.tools.update(tool.id, description="better").description == "better"
        with pytest.raises(PermissionDeniedError, match="lacks the scope 'write'"):
            maker.agents.messages.create(agent.id, input="hi")
    with client_with(guarded, "--organization", "elsewhere") as stranger:
        assert stranger.agents.list().items == []
    key_id = next(line.split()[0] for line in keys(guarded, "list").splitlines() if "write,tools" in line)
    keys(guarded, "revoke", key_id)
    with usual, pytest.raises(AuthenticationError, match="revoked"):
        usual.agents.list()
