"""Other agents, as an agent's tools reach them: every message is a run that the caller's run stands behind."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from reverie.context.transcript import spoken
from reverie.domain.agent import Agent, AgentFilter
from reverie.domain.errors import Draining, Entangled, NotFound, ReverieError, ToolError
from reverie.domain.events import MessageSaved, RunEnded
from reverie.domain.group import GroupFilter
from reverie.domain.ids import ConversationId
from reverie.domain.inputs import Request, SayInput
from reverie.domain.message import text_parts
from reverie.domain.paging import Page
from reverie.domain.run import Run
from reverie.domain.stop_reason import RunStatus, StopReason
from reverie.runs.engine import RunEngine, RunHandle
from reverie.storage import agents, groups
from reverie.storage.database import Database
from reverie.tools.base import PeerTool, ToolOutcome, ToolRun

MOST: Final = 100
"""Most agents that one message goes to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerOptions:
    """How agents may talk to each other."""

    busy_timeout_s: float = 60.0
    """Longest wait for an agent that is busy with something else."""
    reply_timeout_s: float = 600.0
    """Longest wait for an agent's answer, from when it was free."""


class PeerExecutor:
    """Runs peer tools. A `ToolExecutor`; `bind` it to the engine, which is built after it."""

    def __init__(self, tools: Mapping[str, PeerTool], database: Database, options: PeerOptions) -> None:
        self._tools = tools
        self._database = database
        self._options = options
        self._engine: RunEngine | None = None

    def bind(self, engine: RunEngine) -> None:
        """Say who drives the runs."""
        self._engine = engine

    async def run(self, call: ToolRun) -> ToolOutcome:
        """Execute; see `ToolExecutor.run`."""
        if call.run is None or self._engine is None:
            raise ToolError(f"tool {call.tool.name!r} works in an agent's conversations only")
        tool = self._tools.get(call.tool.name)
        if tool is None:
            raise ToolError(f"this server has no tool {call.tool.name!r}")
        peers = _Peers(self, self._engine, call.run)
        return ToolOutcome.success(await tool.run(call.arguments, peers))

    async def aclose(self) -> None:
        """Nothing is held."""

    @property
    def options(self) -> PeerOptions:
        """How agents may talk to each other."""
        return self._options

    @property
    def database(self) -> Database:
        """Where agents are looked up."""
        return self._database


class _Peers:
    """`Peers` for the calls of one run."""

    def __init__(self, executor: PeerExecutor, engine: RunEngine, run: Run) -> None:
        self._executor = executor
        self._engine = engine
        self._run = run

    async def ask(self, agent_id: str, text: str) -> Sequence[str]:
        target = await self._target(agent_id)
        if target.id in self._run.callers:
            chain = " → ".join((*self._run.callers, self._run.agent_id, target.id))
            raise ToolError(f"agent {target.id!r} waits for you already, so it cannot answer ({chain})")
        thread = ConversationId(target.id)
        request = self._request(
            f"[Message from agent {self._run.agent_id}. What you answer goes back to it.] {text}", waits=True
        )
        try:
            with self._engine.lineage.waiting(self._run, thread):
                handle = await self._begin(thread, request)
                async with asyncio.timeout(self._executor.options.reply_timeout_s):
                    return await _words(target, handle)
        except Entangled as error:
            raise ToolError(str(error)) from error
        except TimeoutError as error:
            await self._engine.cancel_children(self._run, thread)
            raise ToolError(
                f"agent {target.id!r} did not answer within {self._executor.options.reply_timeout_s:g} seconds; its "
                "turn was stopped"
            ) from error
        except asyncio.CancelledError:
            await self._engine.cancel_children(self._run, thread)
            raise

    async def tell(self, agent_id: str, text: str) -> bool:
        target = await self._target(agent_id)
        request = self._request(
            f"[Message from agent {self._run.agent_id}. It does not wait for an answer; send it a message if you have "
            f"one.] {text}",
            waits=False,
        )
        try:
            handle = await self._engine.submit(
                self._run.organization_id, ConversationId(target.id), request, when_busy="enqueue"
            )
        except ReverieError as error:
            raise ToolError(f"agent {target.id!r} cannot take the message: {error}") from error
        return handle.run.status is not RunStatus.CREATED

    async def tagged(self, match_all: Sequence[str], match_some: Sequence[str]) -> Sequence[str]:
        first = tuple(match_all or match_some)
        where = AgentFilter(tags=first, match_all_tags=bool(match_all))
        organization_id = self._run.organization_id
        found = await self._executor.database.read(
            lambda c: agents.list_page(c, organization_id, where, Page(limit=None, order="asc"), frozenset())
        )
        wanted = set(match_some)
        ids = [
            item.agent.id
            for item in found
            if item.agent.id != self._run.agent_id and (not wanted or wanted.intersection(item.agent.tags))
        ]
        if len(ids) > MOST:
            raise ToolError(f"{len(ids)} agents have these tags and a message goes to {MOST} at most; name more tags")
        return ids

    async def members(self) -> Sequence[str]:
        run = self._run

        def read(c: Connection) -> Sequence[str]:
            where = GroupFilter(agent_id=run.agent_id, include_hidden=True)
            mine = groups.list_page(c, run.organization_id, where, Page(limit=None))
            talking = [group for group in mine if not group.manager_type.is_sleeptime]
            this = [group for group in talking if group.id == run.group_id]
            managed = [group for group in talking if group.manager_agent_id == run.agent_id]
            for group in (*this, *managed, *talking):
                return [item for item in group.speakers if item != run.agent_id]
            raise ToolError("you are in no group, so there is nobody to send this to")

        return await self._executor.database.read(read)

    async def _target(self, agent_id: str) -> Agent:
        if agent_id == self._run.agent_id:
            raise ToolError("that is your own id; an agent cannot send a message to itself")
        organization_id = self._run.organization_id
        try:
            return await self._executor.database.read(lambda c: agents.get(c, organization_id, agent_id))
        except NotFound as error:
            raise ToolError(f"there is no agent {agent_id!r}; check the id") from error

    async def _begin(self, thread: ConversationId, request: Request) -> RunHandle:
        limit_s = self._executor.options.busy_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                return await self._engine.send(self._run.organization_id, thread, request, when_busy="enqueue")
        except TimeoutError as error:
            await self._engine.cancel_children(self._run, thread)
            raise ToolError(
                f"agent {thread!r} was busy with something else for {limit_s:g} seconds; try again later"
            ) from error
        except Draining as error:
            raise ToolError("the server is shutting down, so no other agent can be asked now") from error
        except ReverieError as error:
            raise ToolError(f"agent {thread!r} cannot take the message: {error}") from error

    def _request(self, text: str, *, waits: bool) -> Request:
        run = self._run
        try:
            metadata = self._engine.lineage.descent(run, waits=waits)
        except Entangled as error:
            raise ToolError(str(error)) from error
        said = SayInput(role="system", parts=text_parts(text), sender_id=run.agent_id, group_id=run.group_id)
        return Request(inputs=(said,), background=not waits, metadata=metadata)


async def _words(target: Agent, handle: RunHandle) -> list[str]:
    """What the agent said by the end of its turn.

    Raises:
        ToolError: the turn did not end well.
    """
    words: list[str] = []
    async with aclosing(handle.events()) as events:
        async for _, event in events:
            if isinstance(event, MessageSaved):
                words += spoken(event.message.body)
            elif isinstance(event, RunEnded):
                if event.stop_reason is StopReason.REQUIRES_APPROVAL:
                    raise ToolError(f"agent {target.id!r} stopped: a call of its own waits for a person's approval")
                if event.stop_reason.run_status is not RunStatus.COMPLETED:
                    reason = event.failure.message if event.failure else event.stop_reason.value
                    raise ToolError(f"agent {target.id!r} could not answer: {reason}")
    return words or ["(it ended its turn without saying anything)"]
