"""Accepts requests, sees to it that they are driven, and lets anyone read along."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, assert_never

import structlog
from sqlalchemy import Connection

from reverie.domain.errors import Busy, Draining, Entangled, Gone, ReverieError
from reverie.domain.events import Event
from reverie.domain.ids import AgentId, ConversationId, OrganizationId, RunId
from reverie.domain.inputs import BusyPolicy, Request
from reverie.domain.repair import Fault
from reverie.domain.run import Run
from reverie.loop.state import TurnState
from reverie.loop.turn import LoopDeps, Turn
from reverie.runs.acceptance import CameBefore, OnAccept, Wish, begin
from reverie.runs.arrivals import Arrivals, otids_of, sent_before
from reverie.runs.driver import Driver, Listener
from reverie.runs.following import POLL_S, follow_stored
from reverie.runs.lease import Lease
from reverie.runs.lineage import Lineage
from reverie.runs.live import LiveRun, LiveRuns
from reverie.runs.log import RunLog
from reverie.runs.queue import Turnstiles
from reverie.runs.repair import Mender
from reverie.storage import agents, conversations, runs

log = structlog.get_logger(__name__)

_NAMING_S: Final = 0.01
_NAMING_TRIES: Final = 100
"""How often who is refused looks for the name of the run that was accepted first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What the engine is told."""

    when_busy: BusyPolicy = "enqueue"
    """What becomes of a message while another run holds its conversation."""
    lease_s: float = 15.0
    """A process that has not been heard of for so long is taken for dead."""
    drain_timeout_s: float = 30.0
    """Longest wait for running turns at shutdown."""
    alone: bool = True
    """No other process has the database open (SQLite)."""
    max_depth: int = 5
    """Most agents that ask one another in a row."""


@dataclass(frozen=True, slots=True)
class RunHandle:
    """A started run, and its events."""

    run: Run
    _follow: Callable[[int], AsyncGenerator[tuple[int, Event], None]]

    def events(self, after: int = 0) -> AsyncGenerator[tuple[int, Event], None]:
        """Numbered events above `after`, up to the last one."""
        return self._follow(after)


class RunEngine:
    """Drives all runs of this process. `start` it once, `close` it last but one, before the database."""

    def __init__(self, deps: LoopDeps, options: EngineOptions, status_of: Callable[[ReverieError], int]) -> None:
        self._deps = deps
        self._options = options
        self._live = LiveRuns()
        self._lease = Lease(deps.database, deps.clock, self._live, lease_s=options.lease_s, alone=options.alone)
        self._driver = Driver(deps, self._live, status_of)
        self._turnstiles = Turnstiles()
        self._arrivals = Arrivals()
        self.lineage = Lineage(self._live.holder, options.max_depth)
        self._tasks: set[asyncio.Task[None]] = set()
        """All conductors, those in line too: the event loop alone would not keep them alive."""
        self._draining = False

    @property
    def worker_id(self) -> str:
        """The worker that this process is; others see by its lease whether it lives."""
        return self._lease.worker.id

    @property
    def is_quiet(self) -> bool:
        """Whether this process drives no run at the moment."""
        return not self._live

    @property
    def draining(self) -> bool:
        """Whether new runs are refused."""
        return self._draining

    async def start(self) -> None:
        """Take a lease, end what dead processes left, and keep the lease while runs live."""
        await self._lease.start()

    async def send(
        self,
        organization_id: OrganizationId,
        conversation_id: ConversationId,
        request: Request,
        *,
        when_busy: BusyPolicy | None = None,
        on_accept: OnAccept | None = None,
        once: bool = False,
    ) -> RunHandle:
        """Accept a request: its run and its inputs are stored when this returns, and the turn is on its way.

        `on_accept` is called in the transaction that stores them; what it raises undoes it, and is raised here.
        With `once`, inputs that came before under the same otids get the run they came to: see `send_once`.

        Raises:
            NotFound: the conversation does not exist.
            Busy: another run holds it and the policy is to refuse.
            ApprovalPending: a call waits for an answer and the request brings none.
            InvalidInput: an approval that answers nothing.
            Draining: the server is shutting down.
        """
        accepted: asyncio.Future[RunHandle] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(
            self._conduct(Wish(organization_id, conversation_id, request, when_busy, on_accept, once), accepted),
            name=f"run of {conversation_id}",
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await asyncio.shield(accepted)
        except asyncio.CancelledError:
            if not accepted.done():  # still waiting in line, and nobody wants it any more
                task.cancel()
            raise

    async def send_once(
        self, organization_id: OrganizationId, conversation_id: ConversationId, request: Request
    ) -> RunHandle:
        """Accept a client's request, or return the run that it was accepted as before: the same otids, the same inputs.

        Raises:
            SentBefore: an otid is known, and what came with it is not what comes now.
            ReverieError: as `send`.
        """
        if not otids_of(request):
            return await self.send(organization_id, conversation_id, request, when_busy=request.when_busy)
        async with self._arrivals.alone(conversation_id, request):
            run = await self._deps.database.read(lambda c: sent_before(c, organization_id, conversation_id, request))
            if run is not None:
                return self._handle_of(run)
            return await self.send(organization_id, conversation_id, request, when_busy=request.when_busy, once=True)

    def _handle_of(self, run: Run) -> RunHandle:
        live = self._live.get(run.id)
        if live is not None:
            return RunHandle(live.run, live.log.follow)
        return RunHandle(run, partial(self.follow, run.organization_id, run.id))

    async def send_behind(
        self, parent_id: RunId, organization_id: OrganizationId, conversation_id: ConversationId, request: Request
    ) -> RunHandle:
        """Accept a request from a tool call of the run `parent_id`, which waits for it unless it is in the background.

        Raises:
            Entangled: it could end only after the parent's turn, or the parent has ended.
        """
        live = self._live.get(parent_id)
        if live is None:
            raise Entangled(f"run {parent_id!r} has ended, so its tool calls start nothing any more")
        waits = not request.background
        kept = self.lineage.descent(live.run, waits=waits)
        request = replace(request, metadata={**request.metadata, **kept})
        if not waits:
            return await self.send(organization_id, conversation_id, request, when_busy="enqueue")
        with ExitStack() as stack:
            stack.enter_context(self.lineage.waiting(live.run, conversation_id))
            handle = await self.send(organization_id, conversation_id, request, when_busy="enqueue")
            driven = self._live.get(handle.run.id)
            conductor = None if driven is None else driven.conductor
            if conductor is not None:  # it has not ended yet
                until_it_ends = stack.pop_all()
                conductor.add_done_callback(lambda _: until_it_ends.close())
        return handle

    def tell(self, listener: Listener) -> None:
        """Let `listener` hear of every run of this process that ends from now on."""
        self._driver.tell(listener)

    async def follow(
        self, organization_id: OrganizationId, run_id: RunId, after: int = 0
    ) -> AsyncGenerator[tuple[int, Event], None]:
        """Events of any run, live here, live elsewhere or ended, from number `after` + 1.

        Of a run that was not in the background only what it saved is there once it has ended, or elsewhere.

        Raises:
            NotFound: no such run.
        """
        live = self._live.get(run_id)
        if live is not None and live.run.organization_id == organization_id:
            async with aclosing(live.log.follow(after)) as events:
                async for item in events:
                    yield item
            return
        async with aclosing(follow_stored(self._deps.database, organization_id, run_id, after)) as events:
            async for item in events:
                yield item

    def require_events(self, run: Run) -> None:
        """Check that `follow` can tell of `run` as it was told when it ran.

        Raises:
            Gone: the run has ended and its events were not kept.
        """
        if not run.background and run.id not in self._live:
            raise Gone(f"run {run.id!r} was not started in the background, so its events were not kept")

    async def cancel(self, organization_id: OrganizationId, run_id: RunId) -> Run:
        """Stop a run, wherever it is driven, and return it as it ended. A run that has ended stays as it is.

        Raises:
            NotFound: no such run.
        """
        run = await self._deps.database.read(lambda c: runs.get(c, organization_id, run_id))
        if run.completed_at is not None:
            return run
        live = self._live.get(run_id)
        if live is None:
            return await self._cancel_elsewhere(run)
        self._live.stop(live, "cancel")
        async with aclosing(live.log.follow(len(live.log))) as events:
            async for _ in events:
                pass
        return await self._deps.database.read(lambda c: runs.get(c, organization_id, run_id))

    async def cancel_active(
        self,
        organization_id: OrganizationId,
        *,
        agent_id: AgentId | None = None,
        conversation_id: ConversationId | None = None,
    ) -> list[Run]:
        """Stop every run of an agent or conversation."""
        active = await self._deps.database.read(
            lambda c: runs.active_of(c, organization_id, agent_id=agent_id, conversation_id=conversation_id)
        )
        return [await self.cancel(organization_id, run.id) for run in active]

    async def cancel_agent(self, organization_id: OrganizationId, agent_id: AgentId) -> list[Run]:
        """Stop every run of an agent."""
        return await self.cancel_active(organization_id, agent_id=agent_id)

    async def cancel_children(self, parent: Run, conversation_id: ConversationId) -> list[Run]:
        """Stop the runs in one conversation that this process started for calls of `parent`."""
        children = [live.run for live in self._live.children(parent.id) if live.run.conversation_id == conversation_id]
        return [await self.cancel(run.organization_id, run.id) for run in children]

    async def bury_dead(self) -> list[Run]:
        """End the runs of processes that died since anyone looked; returns them as they ended."""
        return await self._lease.bury_dead()

    async def repair(self, organization_id: OrganizationId, agent_id: AgentId, *, dry_run: bool) -> list[Fault]:
        """Report what is wrong with an agent's conversations, and mend it unless it is a `dry_run`.

        Raises:
            NotFound: no such agent.
        """

        def threads(c: Connection) -> list[ConversationId]:
            agents.get(c, organization_id, agent_id)
            return conversations.ids_of(c, agent_id)

        found = await self._deps.database.read(threads)
        mender = Mender(worker=self._lease.worker, clock=self._deps.clock, alone=self._options.alone, mine=self._live)
        return [
            fault
            for thread in found
            for fault in await mender.look(self._deps.database, organization_id, thread, dry_run)
        ]

    async def drain(self, timeout_s: float | None = None) -> None:
        """Refuse new runs, let running ones reach their next commit, and stop what takes longer than `timeout_s`."""
        self._draining = True
        tasks = [live.conductor for live in self._live if live.conductor is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=self._options.drain_timeout_s if timeout_s is None else timeout_s)
        for live in self._live:
            self._live.stop(live, "drain")
        tasks = [task for task in tasks if not task.done()]
        if tasks:
            await asyncio.wait(tasks, timeout=5.0)

    async def close(self) -> None:
        """Drain, then give the lease back."""
        await self.drain()
        await self._lease.close()

    # -- driving ---------------------------------------------------------------------------

    async def _conduct(self, wish: Wish, accepted: "asyncio.Future[RunHandle]") -> None:
        """Wait in line, start the run, and drive it to its end."""
        place = wish.conversation_id
        try:
            ahead = self._turnstiles.is_taken(place) and await self._goes_ahead(wish)
            async with self._turnstiles.pass_through(place, ahead=ahead):
                state = await self._accept(wish)
                live = LiveRun(state.run, RunLog(stored_first=state.run.background), asyncio.current_task())
                self._live.add(live)
                accepted.set_result(RunHandle(state.run, live.log.follow))
                pressed = self._turnstiles.is_pressed(place)  # by one that came while this was being accepted
                await self._driver.drive(Turn(state, self._deps), live, pressed=pressed)
        except CameBefore as found:
            if not accepted.done():
                accepted.set_result(self._handle_of(found.run))
        except asyncio.CancelledError:
            if not accepted.done():
                accepted.cancel()
            raise
        except Exception as error:  # not handled here: whoever waits for the run to be accepted gets it
            if accepted.done():
                raise
            accepted.set_exception(error)

    async def _policy(self, wish: Wish) -> BusyPolicy:
        """What shall become of a request that found its conversation busy.

        Raises:
            NotFound: the conversation does not exist.
        """

        def of_agent(c: Connection) -> BusyPolicy | None:
            conversation = conversations.get(c, wish.organization_id, wish.conversation_id)
            return agents.get(c, wish.organization_id, conversation.agent_id).when_busy

        return wish.policy or await self._deps.database.read(of_agent) or self._options.when_busy

    async def _goes_ahead(self, wish: Wish) -> bool:
        """Whether a request that found its conversation busy cancels what runs there, and goes ahead of who waits.

        Raises:
            Busy: it is to be refused instead.
        """
        place = wish.conversation_id
        match await self._policy(wish):
            case "enqueue":
                return False
            case "interrupt":
                for live in self._live:
                    if live.run.conversation_id == place:
                        self._live.stop(live, "cancel")
                return True
            case "reject":
                for _ in range(_NAMING_TRIES):
                    if not self._turnstiles.is_taken(place):
                        return False
                    if (holder := self._live.holder(place)) is not None:
                        raise Busy(place, holder)
                    await asyncio.sleep(_NAMING_S)  # whoever was before is being accepted
                raise Busy(place, "not known yet")
            case impossible:
                assert_never(impossible)

    async def _accept(self, wish: Wish) -> TurnState:
        """Store the run and its inputs, as soon as no run of another process holds the conversation."""
        policy: BusyPolicy | None = None
        while True:
            if self._draining:
                raise Draining("the server is shutting down and takes no new messages; send it again in a moment")
            try:
                state = await self._deps.database.write(lambda c: self._begin(c, wish))
            except Busy as busy:
                holder = RunId(busy.run_id)
                if not await self._lease.bury_holder(holder):
                    policy = policy or await self._policy(wish)
                    if policy == "reject":
                        raise
                    if policy == "interrupt":
                        await self._deps.database.write(lambda c: runs.request_cancel(c, holder))  # noqa: B023
                await asyncio.sleep(POLL_S)
                continue
            self._deps.fault("run_accepted")
            return state

    def _begin(self, c: Connection, wish: Wish) -> TurnState:
        now = self._deps.clock()
        self._lease.beat_if_due(c, now)
        return begin(c, wish, self.worker_id, now, alone=self._options.alone)

    async def _cancel_elsewhere(self, run: Run) -> Run:
        """Ask the process that drives the run, and wait for its end, or end it when that process is dead."""
        await self._deps.database.write(lambda c: runs.request_cancel(c, run.id))
        while True:
            if await self._lease.bury_holder(run.id):
                break
            now = await self._deps.database.read(lambda c: runs.get(c, run.organization_id, run.id))
            if now.completed_at is not None:
                break
            await asyncio.sleep(POLL_S)
        return await self._deps.database.read(lambda c: runs.get(c, run.organization_id, run.id))


__all__ = ["EngineOptions", "RunEngine", "RunHandle"]
