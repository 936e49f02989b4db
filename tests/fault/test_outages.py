"""The database cannot be used for a while, as when a disk is full or PostgreSQL is started anew."""

import resource
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from letta_client import APIError, InternalServerError, Letta
from tests.support.databases import shut
from tests.support.provider import Provider
from tests.support.replies import hang, say
from tests.support.server import Server
from tests.support.waiting import until
from tests.wire.samples import bare_agent

FILE_LIMIT = 200_000
"""Beyond the server's log, and below where a new database's journal ends."""


@contextmanager
def outage(server: Server) -> Iterator[None]:
    """No transaction of the server commits."""
    url = server.database_url or ""
    if url.startswith("postgresql"):
        with shut(url):
            yield
        return
    assert server.process is not None
    before = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (FILE_LIMIT, before[1]))
    try:
        yield
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, before)


def test_an_outage_in_the_middle_of_a_run_ends_that_run_and_leaves_the_agent_well(
    own_server: Server, provider: Provider
) -> None:
    client = own_server.client
    agent = bare_agent(client)
    for streaming in (False, True):
        with in_the_middle(own_server, provider, agent.id, streaming=streaming) as cut:
            with pytest.raises(APIError):
                cut.result(timeout=30)
            with pytest.raises(InternalServerError) as refused:
                client.agents.messages.create(agent.id, input="meanwhile")
            assert refused.value.status_code == 503
            assert "database" in str(refused.value)
        until(lambda: _answers(client, agent.id, "again"))
    assert [turn.text for turn in provider.requests[-1].turns if turn.role == "user"][-1].endswith("again")
    assert {run.status for run in client.runs.list(agent_id=agent.id)} == {"failed", "completed"}
    assert "Traceback" not in own_server.log


def test_a_background_run_goes_on_after_an_outage_and_its_reader_stays(own_server: Server, provider: Provider) -> None:
    client = own_server.client
    agent = bare_agent(client)
    with in_the_middle(own_server, provider, agent.id, streaming=True, background=True) as waits:
        until(lambda: "run_left" in own_server.log)
    assert [event.message_type for event in waits.result(timeout=60)] == [
        "assistant_message",
        "stop_reason",
        "usage_statistics",
    ]
    assert {run.status for run in client.runs.list(agent_id=agent.id)} == {"completed"}
    assert [turn.text for turn in provider.requests[-1].turns if turn.role == "user"] == ["in the middle"]
    assert "Traceback" not in own_server.log


@contextmanager
def in_the_middle(server: Server, provider: Provider, agent_id: str, **way: Any) -> Iterator[Future[Any]]:
    """The database is away from before the model's answer on."""

    def ask() -> Any:
        answer: Any = server.client.agents.messages.create(agent_id, input="in the middle", **way)
        return list(answer) if way["streaming"] else answer

    before = len(provider.requests)
    gate = provider.gate(f"answer {before}")
    provider.script(hang(gate, say("lost")))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask)
        provider.wait_for_requests(before + 1)
        with outage(server):
            gate.release()
            yield asked


def _answers(client: Letta, agent_id: str, text: str) -> bool:
    try:
        client.agents.messages.create(agent_id, input=text)
    except InternalServerError:  # a connection that was cut before
        return False
    return True
