"""Several processes on one database: background runs survive the death of one worker and the restart of one API."""

import asyncio
import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
from tests.conftest import MODEL
from tests.support.databases import database_urls
from tests.support.provider import Provider, Request
from tests.support.replies import Answer, hang, reply, say
from tests.support.server import Server, provider_environment, running_server

AGENTS = 50
RUNS = 200
ROOM = 20
LEASE_S = 600
"""No machine is so busy that a living process would be taken for dead; the killed one is seen to be gone."""


@dataclass
class Reader:
    """Reads one run over whichever server answers, and comes back behind the last number it has seen."""

    run_id: str
    servers: list[Server]
    numbers: list[int] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)

    async def read(self, http: httpx.AsyncClient) -> None:
        while "stop_reason" not in self.kinds:
            with contextlib.suppress(httpx.HTTPError):
                await self._read_once(http)
            self.servers.reverse()
            await asyncio.sleep(0.1)

    async def _read_once(self, http: httpx.AsyncClient) -> None:
        body = {"starting_after": self.numbers[-1] if self.numbers else 0}
        async with http.stream("POST", f"{self.servers[0].url}/v1/runs/{self.run_id}/stream", json=body) as answer:
            if answer.status_code != 200:
                return
            async for line in answer.aiter_lines():
                if line.startswith("data: {"):
                    event = json.loads(line.removeprefix("data: "))
                    if event.get("error_type") == "stream_incomplete":
                        return
                    self.numbers.append(event["seq_id"])
                    self.kinds.append(event["message_type"])


@contextlib.contextmanager
def _three(provider: Provider, url: str) -> Iterator[tuple[Server, Server, Server]]:
    """An API that works as well, an API that does not, and a worker; each with a disk of its own."""
    common = {
        **provider_environment(provider),
        "REVERIE_ENCRYPTION_KEY": "one phrase for all",
        "REVERIE_LEASE_S": str(LEASE_S),
        "REVERIE_WORKERS": str(ROOM),
    }
    with (
        running_server(url, {**common, "REVERIE_WORKERS": "0"}) as plain,
        running_server(url, common) as both,
        running_server(url, common, works=True) as worker,
    ):
        yield plain, both, worker


class _HalfWay:
    """Answers at once until half of the runs were answered; all others wait at a gate."""

    def __init__(self, provider: Provider) -> None:
        self.gate = provider.gate("second half")
        self.held = threading.Semaphore(0)
        self._count = 0

    def __call__(self, request: Request) -> Answer:
        self._count += 1
        if self._count <= RUNS // 2:
            return reply(say("one ", "two"))
        self.held.release()
        return hang(self.gate, say("three ", "four"))


async def _submit(http: httpx.AsyncClient, servers: list[Server], agents: list[str]) -> list[str]:
    async def submit(number: int) -> str:
        server, agent = servers[number % 2], agents[number % AGENTS]
        body = {"messages": [{"role": "user", "content": f"number {number}"}]}
        answer = await http.post(f"{server.url}/v1/agents/{agent}/messages/async", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    found: list[str] = []
    for start in range(0, RUNS, 20):
        found += await asyncio.gather(*(submit(number) for number in range(start, start + 20)))
    return found


async def _through(provider: Provider, plain: Server, both: Server, worker: Server) -> None:
    half_way = _HalfWay(provider)
    provider.default = half_way
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=60, limits=limits) as http:
        agents = [
            str((await http.post(f"{plain.url}/v1/agents/", json={"model": MODEL})).json()["id"]) for _ in range(AGENTS)
        ]
        run_ids = await _submit(http, [plain, both], agents)
        readers = [
            Reader(run_id, [plain, both] if place % 2 else [both, plain]) for place, run_id in enumerate(run_ids)
        ]
        reading = [asyncio.create_task(reader.read(http)) for reader in readers]
        for _ in range(2 * ROOM):  # both workers have all they may have
            assert await asyncio.to_thread(half_way.held.acquire, timeout=30)
        worker.kill()
        killed_at = time.monotonic()
        await asyncio.to_thread(plain.stop)
        half_way.gate.release()
        await asyncio.to_thread(plain.start)
        await asyncio.wait_for(asyncio.gather(*reading), 60)
        took = time.monotonic() - killed_at
        await _check(http, both, agents, readers)
        print(f"all ended {took:.1f} s after the kill")


async def _check(http: httpx.AsyncClient, server: Server, agents: list[str], readers: list[Reader]) -> None:
    runs: dict[str, Any] = {
        run["id"]: run for run in (await http.get(f"{server.url}/v1/runs/", params={"limit": 1000})).json()
    }
    assert len(runs) == RUNS
    # Everything was done, what the dead worker had begun and what waited behind it among it.
    assert Counter(run["status"] for run in runs.values()) == {"completed": RUNS}
    for reader in readers:
        assert reader.numbers == list(range(1, len(reader.numbers) + 1))
        assert reader.kinds.count("stop_reason") == 1
        assert reader.kinds[-1] == "usage_statistics"
    for agent in agents[:5]:
        found = await http.get(f"{server.url}/v1/agents/{agent}/messages", params={"limit": 100, "order": "asc"})
        said = [item["content"] for item in found.json() if item["message_type"] == "user_message"]
        assert said == [f"number {number}" for number in range(agents.index(agent), RUNS, AGENTS)]
        answer = await http.post(f"{server.url}/v1/agents/{agent}/messages", json={"input": "and now?"})
        assert answer.json()["stop_reason"]["stop_reason"] == "end_turn"


def test_two_hundred_runs_end_right_though_a_worker_dies_and_an_api_restarts(provider: Provider) -> None:
    before = provider.default
    try:
        with database_urls("postgresql") as url, _three(provider, url) as (plain, both, worker):
            asyncio.run(_through(provider, plain, both, worker))
    finally:
        provider.default = before
