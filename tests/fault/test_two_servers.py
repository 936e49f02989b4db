"""Two servers on one PostgreSQL database: what one drives the other follows, cancels, repeats and waits behind."""

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
import pytest
from letta_client import Letta
from tests.support.databases import database_urls, run_apart
from tests.support.provider import Provider
from tests.support.replies import hang, reply, say
from tests.support.server import Server, provider_environment, running_server
from tests.support.waiting import until
from tests.wire.samples import bare_agent, kinds

Two = tuple[Letta, Letta, str]


@pytest.fixture(scope="module")
def _two(_provider: Provider) -> Iterator[tuple[Server, Server, str]]:
    common = {
        **provider_environment(_provider),
        "REVERIE_ENCRYPTION_KEY": "one phrase for all",
        "REVERIE_PING_INTERVAL_S": "0.05",
        "REVERIE_LEASE_S": "600",  # no machine is so busy that a living server would be taken for dead
        "REVERIE_DRAIN_TIMEOUT_S": "1",
    }
    with (
        database_urls("postgresql") as url,
        running_server(url, common) as here,
        running_server(url, common) as there,
    ):
        yield here, there, url


@pytest.fixture
def two(_two: tuple[Server, Server, str], provider: Provider) -> Two:
    here, there, url = _two
    return here.client, there.client, url


def test_a_run_of_the_other_server_is_cancelled_half_way_and_the_next_message_works(
    two: Two, provider: Provider
) -> None:
    here, there, _ = two
    agent = bare_agent(here)
    provider.script(reply(say("half", " said"), provider.gate("never"), say("!")), say("fresh"))
    stream: Any = iter(here.agents.messages.create(agent.id, input="a", streaming=True, stream_tokens=True))
    seen = [next(stream), next(stream)]
    run_id = seen[0].run_id
    assert there.agents.messages.cancel(agent.id, run_ids=[run_id]) == {run_id: "cancelled"}
    provider.requests[0].wait_disconnected()
    rest = list(stream)
    assert kinds(rest) == ["stop_reason", "usage_statistics"]
    assert rest[0].stop_reason == "cancelled"
    (step,) = there.runs.steps.list(run_id).items
    assert (step.status, step.stop_reason) == ("cancelled", "cancelled")
    assert there.agents.messages.create(agent.id, input="b").stop_reason.stop_reason == "end_turn"
    assert provider.requests[1].turns[-2].text == "half said"


def test_who_follows_a_run_that_waits_elsewhere_is_sent_pings_and_then_its_events(two: Two, provider: Provider) -> None:
    here, there, _ = two
    agent = bare_agent(here)
    gate = provider.gate("busy")
    provider.script(hang(gate, say("one")), say("two"))
    here.agents.messages.create_async(agent.id, input="a")
    provider.wait_for_requests(1)
    waits = here.agents.messages.create_async(agent.id, input="b")
    assert waits.status == "created"
    events = iter(there.runs.messages.stream(waits.id, include_pings=True))
    assert [next(events).message_type for _ in range(3)] == ["ping"] * 3
    assert here.runs.retrieve(waits.id).status == "created"
    gate.release()
    rest = [event for event in events if event.message_type != "ping"]
    assert kinds(rest) == ["assistant_message", "stop_reason", "usage_statistics"]
    assert [event.seq_id for event in rest] == [1, 2, 3]  # type: ignore[union-attr]


def test_twins_that_arrive_at_both_servers_are_one_turn(two: Two, provider: Provider) -> None:
    here, there, _ = two
    agent = bare_agent(here)
    said: Any = [{"role": "user", "content": "go", "otid": "o-1"}]
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(each.agents.messages.create, agent.id, messages=said) for each in (here, there) * 4]
        answers: list[Any] = [future.result(timeout=30) for future in sent]
    assert len({answer.usage.run_ids[0] for answer in answers}) == 1
    assert len({answer.messages[0].id for answer in answers}) == 1
    assert len(provider.requests) == 1


def test_a_cancel_may_come_at_any_moment(two: Two, provider: Provider) -> None:
    here, there, _ = two
    agent = bare_agent(here)
    runs = []
    for number in range(12):
        run = (here, there)[number % 2].agents.messages.create_async(agent.id, input=f"number {number}")
        runs.append(run.id)
        outcome = there.agents.messages.cancel(agent.id, run_ids=[run.id])
        assert outcome[run.id] in ("cancelled", "completed")
    ended = [there.runs.retrieve(run_id) for run_id in runs]
    assert {(run.status, run.stop_reason) for run in ended} <= {("cancelled", "cancelled"), ("completed", "end_turn")}
    for run_id in runs:
        assert kinds(here.runs.messages.stream(run_id))[-2:] == ["stop_reason", "usage_statistics"]
    assert here.agents.messages.create(agent.id, input="and now?").stop_reason.stop_reason == "end_turn"


def test_a_schedule_is_fired_by_one_of_them(two: Two, provider: Provider) -> None:
    here, there, _ = two
    agents = [bare_agent(here).id for _ in range(4)]
    due = {"scheduled_at": (time.time() + 0.5) * 1000}
    for place, agent_id in enumerate(agents):
        hello: Any = [{"role": "user", "content": "hello from the past"}]
        (here, there)[place % 2].agents.schedule.create(agent_id, messages=hello, schedule=due)  # type: ignore[arg-type]
    for agent_id in agents:
        (made,) = here.agents.schedule.list(agent_id).scheduled_messages
        until(lambda: there.agents.schedule.retrieve(made.id, agent_id=agent_id).next_scheduled_time is None)  # noqa: B023
        until(lambda: here.runs.list(agent_id=agent_id, statuses=["completed"]).items)  # noqa: B023
        assert len(there.runs.list(agent_id=agent_id).items) == 1
    assert len(provider.requests) == len(agents)


def test_servers_that_lost_their_ears_hear_again_and_nothing_waits_forever(two: Two, provider: Provider) -> None:
    here, there, url = two
    agent = bare_agent(here)
    gate = provider.gate("busy")
    provider.script(hang(gate, say("one")), say("two"))
    here.agents.messages.create_async(agent.id, input="a")
    provider.wait_for_requests(1)
    ears = _ears(url)
    assert len(ears) == 2
    _end(url, ears)
    waits = there.agents.messages.create_async(agent.id, input="b")
    gate.release()
    assert kinds(there.runs.messages.stream(waits.id))[-2:] == ["stop_reason", "usage_statistics"]
    until(lambda: len(_ears(url)) == 2)
    assert not set(_ears(url)) & set(ears)


def test_a_server_that_was_taken_for_dead_writes_nothing_more_and_its_readers_are_told_the_rest(
    two: Two, _two: tuple[Server, Server, str], provider: Provider
) -> None:
    here, there, url = two
    process = _two[0].process
    assert process is not None
    agent = bare_agent(here)
    gate = provider.gate("frozen")
    provider.script(reply(say("half", " said"), gate, say(" by the frozen one")), say("whole"))
    with ThreadPoolExecutor(1) as pool:
        reading: Any = pool.submit(
            lambda: list(
                here.agents.messages.create(agent.id, input="go", streaming=True, stream_tokens=True, background=True)
            )
        )
        gate.wait_reached()
        (run,) = there.runs.list(agent_id=agent.id).items
        assert kinds(_so_far(there, run.id)) == ["assistant_message"] * 2
        process.send_signal(signal.SIGSTOP)
        try:
            _run_out(url, process.pid)
            until(lambda: there.runs.retrieve(run.id).completed_at is not None)
        finally:
            process.send_signal(signal.SIGCONT)
            gate.release()
        events: Any = reading.result(timeout=30)
    assert [event.seq_id for event in events] == [1, 2, 3, 4, 5]
    assert kinds(events) == ["assistant_message"] * 3 + ["stop_reason", "usage_statistics"]
    assert [event.content for event in events[:3]] == ["half", " said", "whole"]
    again: Any = list(there.runs.messages.stream(run.id))
    assert [event.seq_id for event in again] == [1, 2, 3, 4, 5]
    assert there.runs.retrieve(run.id).status == "completed"
    stored = there.agents.messages.list(agent.id)
    assert [item.content for item in stored if item.message_type == "assistant_message"] == ["whole"]
    assert here.agents.messages.create(agent.id, input="next").stop_reason.stop_reason == "end_turn"


def _so_far(client: Letta, run_id: str) -> list[Any]:
    """The first two events of a run."""
    events = iter(client.runs.messages.stream(run_id))
    return [next(events), next(events)]


EARS = """SELECT pid FROM pg_stat_activity
          WHERE datname = current_database() AND application_name <> 'reverie' AND pid <> pg_backend_pid()"""


def _ears(url: str) -> list[int]:
    """The connections on which servers listen for bells."""

    async def ask() -> list[int]:
        connection = await asyncpg.connect(url)
        try:
            return [row["pid"] for row in await connection.fetch(EARS)]
        finally:
            await connection.close()

    return run_apart(ask())


def _end(url: str, pids: list[int]) -> None:
    async def end() -> None:
        connection = await asyncpg.connect(url)
        try:
            for pid in pids:
                await connection.execute("SELECT pg_terminate_backend($1)", pid)
        finally:
            await connection.close()

    run_apart(end())


def _run_out(url: str, pid: int) -> None:
    """Let the lease of a process be over, as if its time had passed."""

    async def end() -> None:
        connection = await asyncpg.connect(url)
        try:
            assert await connection.execute("UPDATE workers SET lease_until = 0 WHERE pid = $1", pid) == "UPDATE 1"
        finally:
            await connection.close()

    run_apart(end())
