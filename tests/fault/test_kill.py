"""kill -9 at every named point of a turn: nothing lost, nothing doubled, and the next message succeeds."""

import contextlib
import itertools
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from letta_client import APIError, Letta
from letta_client.types.agents import AssistantMessage, UserMessage
from tests.conftest import MODEL
from tests.support.databases import database_urls
from tests.support.provider import Provider, roles
from tests.support.replies import call, hang, reply, say
from tests.support.server import Server, provider_environment, running_server

COUNT = '''
def count_up(amount: int) -> str:
    """Count.

    Args:
        amount: how far
    """
    return f"counted {amount}"
'''

AFTER_CRASH = {
    # point: what the model reads in the first request after the restart
    "run_accepted": ["system", "user", "user"],
    "model_called": ["system", "user", "user"],
    "reply_streaming": ["system", "user", "user"],
    "reply_saved": ["system", "user", "assistant:count_up", "assistant:memory_insert", "tool", "tool", "user"],
    "tools_done": ["system", "user", "assistant:count_up", "assistant:memory_insert", "tool", "tool", "user"],
    "results_saved": ["system", "user", "assistant:count_up", "assistant:memory_insert", "tool", "tool", "user"],
    "model_called:2": ["system", "user", "assistant:count_up", "assistant:memory_insert", "tool", "tool", "user"],
    "run_ended": [
        "system",
        "user",
        "assistant:count_up",
        "assistant:memory_insert",
        "tool",
        "tool",
        "assistant",
        "user",
    ],
}
EDITED = {"results_saved", "model_called:2", "run_ended"}
"""Points after which the memory edit is there; before them it is not. Never is it half there."""

CASES = list(
    zip(
        AFTER_CRASH,
        itertools.cycle(("blocking", "streamed")),
        itertools.cycle(("sqlite", "sqlite", "postgresql", "postgresql")),
        strict=False,
    )
)
"""Every point once; `test_many_kills.py` goes through all of them on both databases."""


def _agent(client: Letta) -> str:
    tool = client.tools.create(source_code=COUNT)
    agent = client.agents.create(model=MODEL, memory_blocks=[{"label": "human", "value": "start"}], tool_ids=[tool.id])
    return agent.id


def _send(client: Letta, agent_id: str, mode: str) -> None:
    if mode == "blocking":
        client.agents.messages.create(agent_id, input="count")
    else:
        for _ in client.agents.messages.create(agent_id, input="count", streaming=True, stream_tokens=True):
            pass


@pytest.mark.parametrize(("point", "mode", "where"), CASES)
def test_after_kill_9_the_next_message_succeeds_and_nothing_is_lost_or_doubled(
    provider: Provider, point: str, mode: str, where: str
) -> None:
    crashing = {**provider_environment(provider), "REVERIE_CRASH_AT": point}
    with database_urls(where) as url, running_server(url, crashing) as server:
        _crash_and_go_on(server, provider, point, mode)


def _crash_and_go_on(own_server: Server, provider: Provider, point: str, mode: str) -> None:
    agent_id = _agent(own_server.client)
    provider.script(
        reply(call("count_up", amount=2), call("memory_insert", label="human", new_string="counted")),
        say("done counting"),
    )
    with contextlib.suppress(APIError, OSError, Exception):
        _send(own_server.client, agent_id, mode)
    own_server.wait_dead()

    provider.reset()
    del own_server.environment["REVERIE_CRASH_AT"]
    own_server.start()
    client = own_server.client
    assert ("counted" in client.agents.blocks.retrieve("human", agent_id=agent_id).value) == (point in EDITED)
    provider.script(say("still here"))
    answer = client.agents.messages.create(agent_id, input="are you there?")
    assert answer.stop_reason.stop_reason == "end_turn"
    assert roles(provider.requests[0]) == AFTER_CRASH[point]
    runs = client.runs.list(agent_id=agent_id).items
    assert all(run.status in ("completed", "failed") for run in runs)
    assert len(runs) == 2
    stored = list(client.agents.messages.list(agent_id, order="asc", limit=100))
    ids = [message.id for message in stored]
    assert len(ids) == len(set(ids))
    said = [message.content for message in stored if isinstance(message, UserMessage)]
    assert said == ["count", "are you there?"]


def test_sigterm_lets_a_turn_reach_its_next_commit_and_exits(own_server: Server, provider: Provider) -> None:
    client = own_server.client
    agent_id = client.agents.create(model=MODEL).id
    gate = provider.gate("slow")
    provider.script(hang(gate, say("late but whole")))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: client.agents.messages.create(agent_id, input="hi"))
        provider.wait_for_requests(1)
        assert own_server.process is not None
        own_server.process.send_signal(signal.SIGTERM)
        gate.release()
        said = waiting.result(timeout=60).messages[-1]
        assert isinstance(said, AssistantMessage)
        assert said.content == "late but whole"
        assert own_server.process.wait(timeout=60) == 0
