"""How the servers are asked: in alternation, with their CPU read around each row; what fails, fails alone."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import httpx
import psutil

from bench.compare.figures import Figure, Report
from bench.compare.targets import Target

EMBEDDING: Final = "openai/text-embedding-3-small"
SETTLE_S: Final = 1.0
"""After each row, so that what a server does behind its answer is counted with it."""
LONGEST_S: Final = 120.0
"""For one operation: a server that hangs fails the row, not the run."""
Work = Callable[[], Awaitable[Any]]


class Visitor:
    """Talks to one server."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.idle = (0.0, 0.0)
        """CPU seconds that the server and its database take in a second in which nobody asks."""
        self._http = httpx.AsyncClient(
            base_url=target.url,
            timeout=LONGEST_S,
            headers={"x-stainless-package-version": "1.12.1"},
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=64),
        )

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON."""
        answer = await self._http.request(method, path, json=body)
        if answer.is_error:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer.json()

    async def agent(self, **more: Any) -> str:
        """A fresh agent's id."""
        body = {
            "model": self.target.model,
            "embedding": EMBEDDING,
            "memory_blocks": [{"label": "human", "value": "Ada"}, {"label": "persona", "value": "kind"}],
            **more,
        }
        return str((await self.request("POST", "/v1/agents/", body))["id"])

    async def agents(self, count: int) -> list[str]:
        """Fresh agents' ids."""
        return [await self.agent() for _ in range(count)]

    async def turn(self, agent: str) -> None:
        """One blocking turn; raises where it did not end as it should."""
        answer = await self.request("POST", f"/v1/agents/{agent}/messages", said("hello there"))
        if (reason := answer["stop_reason"]["stop_reason"]) != "end_turn":
            raise RuntimeError(f"the turn ended with {reason}")

    async def streamed(self, agent: str) -> tuple[float, float]:
        """One streamed turn; the seconds until its first token, and from that to its last."""
        body = {**said("count"), "stream_tokens": True}
        began, times = time.perf_counter(), []
        async with self._http.stream("POST", f"/v1/agents/{agent}/messages/stream", json=body) as answer:
            answer.raise_for_status()
            async for line in answer.aiter_lines():
                if "assistant_message" in line:
                    times.append(time.perf_counter())
        if len(times) < 2:
            raise RuntimeError("no tokens came")
        return times[0] - began, times[-1] - times[0]

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def said(text: str) -> dict[str, Any]:
    """A request's body."""
    return {"messages": [{"role": "user", "content": text}]}


class Lane:
    """One server's part of a row."""

    def __init__(self, visitor: Visitor, work: Work) -> None:
        self.figure = Figure()
        self._visitor = visitor
        self._work = work
        self._own_s = SETTLE_S
        self._began = 0.0
        self._before = (0.0, 0.0)

    def begin(self) -> None:
        """Read its CPU."""
        self._began = time.perf_counter()
        if self.figure.failure is None:
            self._before = self._cpu() or (0.0, 0.0)

    async def once(self, *, counted: bool) -> None:
        """Do it; a number that it returns is the wait in seconds."""
        if self.figure.failure is not None:
            return
        began = time.perf_counter()
        try:
            async with asyncio.timeout(LONGEST_S):
                told = await self._work()
        except Exception as error:  # noqa: BLE001 - shown in the row
            self.figure.failure = reason(error)
            return
        took = time.perf_counter() - began
        if counted:
            self._own_s += took
            self.figure.waits_ms.append((told if isinstance(told, float) else took) * 1000)

    def end(self, count: int) -> None:
        """Make the figure. The idle server's CPU, while the others were being asked, belongs to no operation."""
        now = None if self.figure.failure else self._cpu()
        if now is None:
            return
        others_s = max(0.0, time.perf_counter() - self._began - self._own_s)
        idle = [part * others_s for part in self._visitor.idle]
        spent = [max(0.0, now[at] - self._before[at] - idle[at]) / count * 1000 for at in (0, 1)]
        self.figure.server_ms, self.figure.database_ms = spent
        self.figure.idle_ms = sum(idle) / count * 1000

    def _cpu(self) -> tuple[float, float] | None:
        try:
            return self._visitor.target.cpu()
        except psutil.Error as error:
            self.figure.failure = f"it is not there any more ({reason(error)})"
            return None


class Comparison:
    """Drives all servers and keeps the figures."""

    def __init__(self, targets: Sequence[Target], provider: str, scale: float, report: Report) -> None:
        self.visitors = [Visitor(target) for target in targets]
        self.report = report
        self.provider = provider
        self._scale = scale

    def count(self, usual: int) -> int:
        """How often something is done at this scale."""
        return max(3, round(usual * self._scale))

    async def reply(self, *parts: Any, then: str | None = None) -> None:
        """Let the provider answer so from now on; `then` after the results of tools."""
        body: dict[str, Any] = {"first": {"parts": list(parts)}}
        if then is not None:
            body["after_tools"] = {"parts": [{"say": then}]}
        async with httpx.AsyncClient() as http:
            (await http.post(f"{self.provider}/_default", json=body)).raise_for_status()

    async def each(self, make: Callable[..., Awaitable[Any]], *given: Sequence[Any]) -> list[Any]:
        """Prepare something on each server; where that fails, the error stands in its place."""
        made: list[Any] = []
        for work in self.works(make, *given):
            try:
                made.append(await work())
            except Exception as error:  # noqa: BLE001 - raised again in each row that needs it
                made.append(error)
        return made

    def works(self, work: Callable[..., Awaitable[Any]], *given: Sequence[Any]) -> list[Work]:
        """One work for each server, of what was prepared there."""

        async def done(visitor: Visitor, parts: tuple[Any, ...]) -> Any:
            for part in parts:
                if isinstance(part, Exception):
                    raise part
            return await work(visitor, *parts)

        return [
            lambda visitor=visitor, parts=tuple(parts): done(visitor, parts)  # type: ignore[misc]
            for visitor, *parts in zip(self.visitors, *given, strict=True)
        ]

    async def alternate(self, what: str, count: int, works: Sequence[Work], *, warm: int = 2) -> list[Figure]:
        """Do each server's work in turn, `count` times."""
        lanes = [Lane(visitor, work) for visitor, work in zip(self.visitors, works, strict=True)]
        for _, lane in itertools.product(range(warm), lanes):
            await lane.once(counted=False)
        await asyncio.sleep(SETTLE_S)
        for lane in lanes:
            lane.begin()
        for _, lane in itertools.product(range(count), lanes):
            await lane.once(counted=True)
        await asyncio.sleep(SETTLE_S)
        for lane in lanes:
            lane.end(count)
        figures = [lane.figure for lane in lanes]
        self.report.add(what, figures)
        return figures

    async def note(self, what: str, tell: Callable[[Visitor], Awaitable[float]]) -> None:
        """Keep figures that are no times."""
        told = await self.each(tell)
        self.report.add(
            what, [Figure(failure=reason(one)) if isinstance(one, Exception) else Figure(other=one) for one in told]
        )


def reason(error: BaseException) -> str:
    """An error on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:400]
