"""Runs: what the background costs, how quickly events pass, take-over after a kill, and what a silent reader holds."""

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx
import psutil
from tests.support.provider import Provider
from tests.support.replies import hang
from tests.support.server import Server

STREAMS: Final = 100
TOKENS: Final = 400
IDLE: Final = 1_000
SILENT: Final = "anthropic/claude-sonnet-4-5"
"""Of the provider that never answers."""
LEASE_S: Final = 3.0


@contextmanager
def silent_provider() -> Iterator[Provider]:
    """A provider that never answers."""
    with Provider() as provider:
        provider.default = hang(provider.gate("never"))
        yield provider


def settings_of(silent: Provider) -> dict[str, str]:
    """What lets a server know it."""
    return {"ANTHROPIC_API_KEY": "bench", "ANTHROPIC_BASE_URL": silent.url}


class Events:
    """Reads the events of streams, with as little work for each as can be."""

    def __init__(self) -> None:
        self.count = 0
        self.opened = 0

    async def read(self, http: httpx.AsyncClient, method: str, path: str, body: dict[str, Any]) -> None:
        """Count the events of one stream."""
        async with http.stream(method, path, json=body) as answer:
            self.opened += 1
            async for chunk in answer.aiter_raw():
                self.count += chunk.count(b"data: ")


async def background_turn(load: Any, agent: str) -> None:
    """Accept a run, then read its stream to the end."""
    run = await load.post(f"/v1/agents/{agent}/messages/async", {"input": "hello there"})
    await Events().read(load.http, "POST", f"/v1/runs/{run['id']}/stream", {})


async def measure_runs(load: Any, count: int) -> None:
    """All parts; those of several processes on PostgreSQL only."""
    await load.default({"parts": [{"say": "All right."}]})
    agents = await load.agents(count // 5 + 2)
    blocking = await load.measure("blocking turn", count, load.turns_of(agents), warm=20)
    fresh = iter(await load.agents(count + 30))
    background = await load.measure(
        "background turn, accepted and followed", count, lambda: background_turn(load, next(fresh))
    )
    cpu, wait = background.cpu_ms - blocking.cpu_ms, background.p50_ms - blocking.p50_ms
    load.add("what the background adds to a turn", figure=f"{cpu:.1f} ms of CPU, {wait:.1f} ms of waiting (p50)")
    await measure_streams(load)
    await measure_idle(load)


async def measure_streams(load: Any) -> None:
    """A hundred streams of tokens at once, stored as they come, and not stored."""
    await load.default({"parts": [{"say": " ".join(f"w{number}" for number in range(TOKENS))}]})
    agents = await load.agents(STREAMS)
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=load.http.base_url, timeout=120, limits=limits) as http:
        for background in (False, True):
            body = {"input": "count", "streaming": True, "stream_tokens": True, "background": background}
            events, before, began = Events(), load.cpu(), time.perf_counter()
            await asyncio.gather(*(events.read(http, "POST", f"/v1/agents/{agent}/messages", body) for agent in agents))
            took, spent = time.perf_counter() - began, load.cpu() - before
            name = "stored first" if background else "not stored"
            figure = f"{events.count / took:,.0f} events/s here, {events.count / spent:,.0f} per CPU second"
            load.add(f"{STREAMS} streams, {name}", cpu_ms=spent * 1000 / events.count, figure=figure)


async def measure_idle(load: Any) -> None:
    """Readers of runs that wait: what each holds in the server's memory."""
    busy = await load.agents(10, model=SILENT)
    waiting = []
    for agent in busy:
        await load.post(f"/v1/agents/{agent}/messages/async", {"input": "never ends"})
        waiting.append((await load.post(f"/v1/agents/{agent}/messages/async", {"input": "waits"}))["id"])
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=load.http.base_url, timeout=120, limits=limits) as http:
        before = load.server.memory_info().rss
        silent = Events()
        reading = [
            asyncio.create_task(silent.read(http, "POST", f"/v1/runs/{waiting[number % 10]}/stream", {}))
            for number in range(IDLE)
        ]
        while silent.opened < IDLE:  # noqa: ASYNC110 - what is measured must not be told
            await asyncio.sleep(0.2)
        await asyncio.sleep(2)
        each = (load.server.memory_info().rss - before) / IDLE
        spent = load.cpu()
        await asyncio.sleep(5)
        share = (load.cpu() - spent) / 5
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
    load.add(f"{IDLE:,} silent readers", figure=f"{each / 1000:.0f} kB each, {share:.1%} of a CPU for all")
    for agent in busy:
        await load.post(f"/v1/agents/{agent}/messages/cancel", {})


async def measure_takeover(
    url: str, environment: dict[str, str], silent: Provider, note: Callable[[str], None]
) -> None:
    """From the death of a process to the moment that another one asks the model again for its run."""
    settings = {
        **environment,
        "REVERIE_LEASE_S": str(LEASE_S),
        "REVERIE_ENCRYPTION_KEY": "bench",
        "REVERIE_DRAIN_TIMEOUT_S": "0.5",
    }
    waits: list[float] = []
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        stays = Server(database_url=url, data_dir=Path(one), environment=settings).start()
        try:
            await _begin_silent(stays, silent)  # what is loaded with the first request is loaded
            for _ in range(3):
                waits.append(await _one_takeover(url, Path(other), settings, silent))
        finally:
            stays.stop()
    figure = f"{statistics.median(waits):.1f} s, at most {max(waits):.1f} s, with a lease of {LEASE_S:g} s"
    note(figure)


async def _one_takeover(url: str, folder: Path, settings: dict[str, str], silent: Provider) -> float:
    dies = Server(database_url=url, data_dir=folder, environment=settings).start()
    assert dies.process is not None
    asked = await _begin_silent(dies, silent)
    psutil.Process(dies.process.pid).kill()
    began = time.perf_counter()
    await asyncio.to_thread(silent.wait_for_requests, asked + 1, 60)
    took = time.perf_counter() - began
    dies.kill()
    return took


async def _begin_silent(server: Server, silent: Provider) -> int:
    """Begin a background run that never ends; returns how many requests the provider has had since."""
    asked = len(silent.requests) + 1
    async with httpx.AsyncClient(timeout=60) as http:
        made = await http.post(f"{server.url}/v1/agents/", json={"model": SILENT})
        await http.post(f"{server.url}/v1/agents/{made.json()['id']}/messages/async", json={"input": "never ends"})
    await asyncio.to_thread(silent.wait_for_requests, asked, 60)
    return asked
