"""Schedules, over the Python SDK."""

import time
from typing import Any

import pytest
from letta_client import APIStatusError, Letta, NotFoundError
from tests.support.provider import Provider
from tests.support.server import Server
from tests.wire.samples import bare_agent

HELLO: list[Any] = [{"role": "user", "content": "hello from the past", "otid": "o-1"}]
DAILY: Any = {"type": "recurring", "cron_expression": "CRON_TZ=Europe/Berlin 0 9 * * *"}


def in_ms(seconds: float) -> float:
    return (time.time() + seconds) * 1000


def test_a_schedule_is_stored_retrieved_and_deleted(client: Letta) -> None:
    agent = bare_agent(client)
    parts: list[Any] = [
        {"type": "text", "text": "look"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
    ]
    made = client.agents.schedule.create(
        agent.id,
        messages=[*HELLO, {"role": "system", "content": parts}],
        schedule=DAILY,
        max_steps=4,
        callback_url="https://example.org/done",
        include_return_message_types=["assistant_message"],
    )
    assert made.next_scheduled_at is not None
    found = client.agents.schedule.retrieve(made.id, agent_id=agent.id)
    assert (found.id, found.agent_id, found.next_scheduled_time) == (made.id, agent.id, made.next_scheduled_at)
    assert found.schedule.model_dump() == DAILY
    asked = found.message.model_dump(exclude_none=True)
    assert asked.pop("messages") == [
        {"role": "user", "content": "hello from the past", "otid": "o-1", "type": "message"},
        {"role": "system", "content": parts, "type": "message"},
    ]
    assert asked == {
        "max_steps": 4,
        "callback_url": "https://example.org/done",
        "include_return_message_types": ["assistant_message"],
    }
    assert client.agents.schedule.delete(made.id, agent_id=agent.id).success
    with pytest.raises(NotFoundError, match=r"schedule .* does not exist"):
        client.agents.schedule.retrieve(made.id, agent_id=agent.id)


def test_schedules_come_in_pages(client: Letta) -> None:
    agent = bare_agent(client)
    made = [client.agents.schedule.create(agent.id, messages=HELLO, schedule=DAILY).id for _ in range(3)]
    first = client.agents.schedule.list(agent.id, limit="2")
    assert ([item.id for item in first.scheduled_messages], first.has_next_page) == (made[:0:-1], True)
    second = client.agents.schedule.list(agent.id, limit="2", after=made[1])
    assert ([item.id for item in second.scheduled_messages], second.has_next_page) == (made[:1], False)


def test_a_message_for_one_time_is_sent_then(client: Letta, provider: Provider, server: Server) -> None:
    agent = bare_agent(client)
    when = in_ms(0.5)
    made = client.agents.schedule.create(agent.id, messages=HELLO, schedule={"scheduled_at": when})
    deadline = time.monotonic() + 20
    while client.agents.schedule.retrieve(made.id, agent_id=agent.id).next_scheduled_time is not None:
        assert time.monotonic() < deadline, server.log[-2000:]
        time.sleep(0.05)
    (run,) = client.runs.list(agent_id=agent.id, background=True).items
    assert run.created_at is not None
    assert run.created_at.timestamp() * 1000 >= when
    client.runs.retrieve(run.id)
    seen = [item for item in client.agents.messages.list(agent.id, order="asc") if item.message_type == "user_message"]
    assert "hello from the past" in str(seen[-1].content)


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        ({"schedule": {"type": "recurring", "cron_expression": "soon"}}, 422, "cron_expression"),
        ({"schedule": {"type": "recurring", "cron_expression": "TZ=Mars/Base 0 9 * * *"}}, 422, "time zone"),
        ({"schedule": {"type": "recurring", "cron_expression": "0 0 30 2 *"}}, 400, "never due"),
        ({"schedule": {"type": "one-time", "scheduled_at": 1_600_000_000_000}}, 400, "has passed"),
        ({"schedule": {"type": "one-time", "scheduled_at": 1e300}}, 422, "scheduled_at"),
        ({"schedule": {"type": "recurring"}}, 422, "cron_expression"),
        ({"messages": []}, 422, "messages"),
        ({"max_steps": 0}, 422, "max_steps"),
        ({"callback_url": "ftp://x"}, 422, "callback_url"),
    ],
)
def test_what_cannot_be_scheduled_is_refused_and_nothing_is_stored(
    client: Letta, change: dict[str, Any], status: int, told: str
) -> None:
    agent = bare_agent(client)
    whole: dict[str, Any] = {"messages": HELLO, "schedule": DAILY, **change}
    with pytest.raises(APIStatusError) as refused:
        client.agents.schedule.create(agent.id, **whole)
    assert refused.value.status_code == status
    assert told in str(refused.value.body)
    assert client.agents.schedule.list(agent.id).scheduled_messages == []


def test_a_schedule_is_seen_through_its_own_agent_only(client: Letta) -> None:
    mine, other = bare_agent(client), bare_agent(client)
    made = client.agents.schedule.create(mine.id, messages=HELLO, schedule=DAILY)
    with pytest.raises(NotFoundError):
        client.agents.schedule.retrieve(made.id, agent_id=other.id)
    with pytest.raises(NotFoundError):
        client.agents.schedule.delete(made.id, agent_id=other.id)
    assert client.agents.schedule.retrieve(made.id, agent_id=mine.id).id == made.id
