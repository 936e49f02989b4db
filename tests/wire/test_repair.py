"""Histories that were damaged outside of the server: reported, mended, and whole afterwards."""

import os
import subprocess
import sys
from typing import Any

import pytest
from letta_client import Letta
from sqlalchemy import Connection, delete, select, update
from tests.support.databases import database_urls, opened, run_apart
from tests.support.provider import Provider
from tests.support.replies import call, hang, say
from tests.support.server import ROOT, Server, provider_environment, running_server
from tests.wire.samples import new_agent

from reverie.storage.schema import conversations, messages

pytestmark = pytest.mark.one_database("postgresql")


def _repair(server: Server, agent_id: str, verb: str = "GET", **query: Any) -> list[tuple[str, str | None]]:
    with server.http as http:
        answer = http.request(verb, f"/v1/agents/{agent_id}/repair", params=query)
    assert answer.status_code == 200, answer.text
    return [(fault["kind"], fault["tool_call_id"]) for fault in answer.json()["faults"]]


def test_a_healthy_agent_has_no_faults_and_a_busy_one_is_left_alone(
    client: Letta, server: Server, provider: Provider
) -> None:
    agent = new_agent(client)
    provider.script(call("memory_insert", label="human", new_string="x"), say("done"))
    client.agents.messages.create(agent.id, input="go")
    assert _repair(server, agent.id) == []
    gate = provider.gate("busy")
    provider.script(hang(gate, say("late")))
    run = client.agents.messages.create_async(agent.id, input="go")
    provider.wait_for_requests(3)
    assert _repair(server, agent.id, "POST", dry_run=False) == []
    gate.release()
    list(client.runs.messages.stream(run.id))
    assert client.runs.retrieve(run.id).stop_reason == "end_turn"
    with server.http as http:
        unknown = http.get("/v1/agents/agent-00000000-0000-4000-8000-000000000000/repair")
    assert unknown.status_code == 404


@pytest.mark.parametrize("through", ["server", "doctor"])
def test_what_was_damaged_is_reported_and_mended(provider: Provider, database: str, through: str) -> None:
    with database_urls(database) as url, running_server(url, provider_environment(provider)) as server:
        agent = new_agent(server.client)
        provider.script(
            call("memory_insert", label="human", new_string="x", id="c1"),
            call("memory_insert", label="human", new_string="y", id="c2"),
            say("done"),
        )
        server.client.agents.messages.create(agent.id, input="go")
        server.stop()
        _damage(url, agent.id)
        server.start()
        faults = [
            ("stale_claim", None),
            ("stray_prompt", None),
            ("missing_prompt", None),
            ("call_without_result", "c1"),
            ("result_without_call", "c2"),
        ]
        assert _repair(server, agent.id) == faults
        assert _repair(server, agent.id, "POST") == faults
        assert _repair(server, agent.id) == faults, "a dry run changes nothing"
        if through == "server":
            assert _repair(server, agent.id, "POST", dry_run=False) == faults
        else:
            server.stop()
            told = _doctor(server)
            assert "5 faults mended" in told
            assert "c1" in told
            server.start()
        assert _repair(server, agent.id) == []
        provider.script(say("whole"))
        server.client.agents.messages.create(agent.id, input="next")
        shape = [item.split(":")[0] for item in provider.requests[-1].shape]
        assert shape == ["system", "user", "assistant", "tool", "assistant", "user"]


def _damage(url: str, agent_id: str) -> None:
    """Take away c1's result and c2's call, point the thread to another prompt, and hold it for a run that is gone."""

    def work(c: Connection) -> None:
        mine = messages.c.agent_id == agent_id
        for message_id, kind, body in c.execute(
            select(messages.c.id, messages.c.kind, messages.c.body).where(mine)
        ).all():
            calls = [item["id"] for item in body.get("calls", [])] if kind == "tool_call" else []
            returned = [item["tool_call_id"] for item in body.get("returns", [])] if kind == "tool_return" else []
            if "c1" in returned or "c2" in calls:
                c.execute(delete(messages).where(messages.c.id == message_id))
        held = {"active_run_id": "run-gone", "prompt_id": "message-gone"}
        c.execute(update(conversations).where(conversations.c.id == agent_id).values(held))

    async def run() -> None:
        async with opened(url) as database:
            await database.write(work)

    run_apart(run())


def _doctor(server: Server) -> str:
    command = [sys.executable, "-m", "reverie.cli.main", "doctor", "--repair", "--data-dir", str(server.data_dir)]
    command += ["--database-url", server.database_url or ""]
    told = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    return told.stdout
