"""kill -9 many times in a row under load: everything accepted ends, nothing is lost or doubled, no agent is stuck."""

import contextlib
import itertools
import os
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from letta_client import APIError, Letta
from tests.conftest import MODEL
from tests.support.databases import database_urls
from tests.support.provider import Provider, Request
from tests.support.replies import Answer, call, reply, say
from tests.support.server import Server, provider_environment, running_server
from tests.support.waiting import until

POINTS = [
    "run_accepted",
    "run_waits",
    "run_taken",
    "model_called",
    "reply_streaming",
    "reply_saved",
    "tools_done",
    "results_saved",
    "model_called:4",
    "run_ended",
]
ALL_KILLS = [*POINTS, *(f"{point.partition(':')[0]}:{place}" for place, point in enumerate(POINTS, start=2))]
AGENTS = 3


def kills_on(database: str) -> list[str]:
    """Each point on one of the databases, for the sake of time; `KILLS=20` takes all and later passings, on both."""
    wanted = os.environ.get("KILLS")
    return POINTS[database == "postgresql" :: 2] if wanted is None else ALL_KILLS[: int(wanted)]


@dataclass
class Load:
    """What was sent, and which runs were promised."""

    words: itertools.count = field(default_factory=itertools.count)  # type: ignore[type-arg]
    promised: dict[str, str] = field(default_factory=dict)
    """Background runs whose acceptance was answered, with what they were told."""
    answered: set[str] = field(default_factory=set)
    """What was told to runs that were seen to end well by who waited for them."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, client: Letta, agent_id: str, mode: str) -> None:
        """Send one message, and note what the server promises before it dies."""
        with self.lock:
            words = f"word {next(self.words):03d}"
        with contextlib.suppress(APIError, OSError, RuntimeError):
            if mode == "async":
                run = client.agents.messages.create_async(agent_id, input=words)
                self.promised[run.id] = words
            elif mode == "blocking":
                answer = client.agents.messages.create(agent_id, input=words)
                if answer.stop_reason.stop_reason == "end_turn":
                    self.answered.add(words)
            else:
                background = mode == "background"
                events: Any = client.agents.messages.create(
                    agent_id, input=words, streaming=True, stream_tokens=True, background=background
                )
                for event in events:
                    if background and event.message_type != "ping":
                        self.promised[event.run_id] = words


def _insert_then_say(request: Request) -> Answer:
    """Every turn inserts what it was told into memory, once, and then says so."""
    if request.turns[-1].role == "tool":
        return reply(say("it ", "is ", "noted"))
    told = [turn.text for turn in request.turns if turn.role == "user"][-1].splitlines()[-1]
    return reply(call("memory_insert", label="human", new_string=f"<{told}>"))


def _round(server: Server, agents: list[str], load: Load) -> bool:
    """Load the server until it dies, by itself or else by our hand; tells whether it died by itself."""
    modes = ["async", "background", "async", "streamed", "blocking"]
    with ThreadPoolExecutor(len(modes) * AGENTS) as pool:
        client = server.client
        for mode in modes:
            for agent in agents:
                pool.submit(load.send, client, agent, mode)
    assert server.process is not None
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.process.wait(timeout=1)
        return True
    server.kill()
    return False


def _all_ended(client: Letta) -> Callable[[], bool]:
    return lambda: not client.runs.list(active=True, limit=1000).items


def test_many_kills_in_a_row_lose_and_double_nothing(provider: Provider, database: str) -> None:
    before, provider.default = provider.default, _insert_then_say
    load, died, kills = Load(), 0, kills_on(database)
    try:
        with database_urls(database) as url, running_server(url, provider_environment(provider)) as server:
            blocks = [{"label": "human", "value": "", "limit": 100_000}]
            made = [server.client.agents.create(model=MODEL, memory_blocks=blocks) for _ in range(AGENTS)]  # type: ignore[arg-type]
            agents = [agent.id for agent in made]
            for point in kills:
                try:
                    server.restart(REVERIE_CRASH_AT=point)
                except RuntimeError:  # it went on with what was left, and died of it before it answered anybody
                    died += server.wait_dead() == -signal.SIGKILL
                    continue
                died += _round(server, agents, load)
            client = server.restart().client
            until(_all_ended(client))
            _check(client, agents, load)
    finally:
        provider.default = before
    assert died >= len(kills) * 3 // 4, "most kills are to strike at their points"


def _check(client: Letta, agents: list[str], load: Load) -> None:
    said: Counter[str] = Counter()
    for agent in agents:
        answer = client.agents.messages.create(agent, input="the last word")
        assert answer.stop_reason.stop_reason == "end_turn"
        stored = list(client.agents.messages.list(agent, order="asc", limit=1000))
        assert len({item.id for item in stored}) == len(stored)
        told = [str(item.content) for item in stored if item.message_type == "user_message"]
        assert told.pop() == "the last word"
        said.update(told)
        noted = client.agents.blocks.retrieve("human", agent_id=agent).value
        assert all(noted.count(f"<{words}>") <= 1 for words in told), "an edit was made twice"
    assert max(said.values()) == 1, "a message was let in twice"
    assert all(said[words] == 1 for words in load.answered)
    runs = {run.id: run for run in client.runs.list(limit=1000).items}
    assert {run.status for run in runs.values()} <= {"completed", "failed"}
    for run_id, words in load.promised.items():
        assert run_id in runs, "a run that was promised is gone"
        assert said[words] == 1, "a message that was accepted is lost"
    assert all(run.stop_reason == "error" for run in runs.values() if run.status == "failed")
