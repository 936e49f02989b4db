"""Accepts requests, sees to it that they are driven, and lets anyone read along."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import Connection

from reverie.domain.errors import Entangled, Gone, ReverieError
from reverie.domain.events import Event, RunEnded
from reverie.domain.ids import AgentId, ConversationId, OrganizationId, RunId
from reverie.domain.inputs import BusyPolicy, Request
from reverie.domain.repair import Fault
from reverie.domain.run import Run
from reverie.domain.stop_reason import RunStatus, StopReason
from reverie.loop.deps import LoopDeps
from reverie.loop.state import TurnState
from reverie.runs.acceptance import Acceptor, CameBefore, OnAccept, Wish, end_waiting
from reverie.runs.arrivals import Arrivals, can_come_twice, sent_before
from reverie.runs.bells import Bells
from reverie.runs.dispatch import Dispatcher
from reverie.runs.driver import Driver, Listener
from reverie.runs.handover import Begun
from reverie.runs.lease import Lease
from reverie.runs.line import Line
from reverie.runs.lineage import Lineage
from reverie.runs.live import LiveRuns
from reverie.runs.mirrors import Mirrors
from reverie.runs.repair import Mender
from reverie.runs.scribe import Scribe
from reverie.runs.untaken import Untaken
from reverie.runs.withdrawal import withdraw
from reverie.storage import agents, conversations, messages, runs

POLL_S = 0.1
"""How often a run that was cancelled elsewhere is looked at until it has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What the engine is told."""

    when_busy: BusyPolicy = "enqueue"
    """What becomes of a message while another run holds its conversation."""
    lease_s: float = 15.0
    """A process that has not been heard of for so long is taken for dead."""
    drain_timeout_s: float = 30.0
    """Longest wait for running turns at shutdown."""
    attempts: int = 3
    """Most processes that a background run may take with it: then it is ended, not gone on with."""
    alone: bool = True
    """No other process has the database open (SQLite)."""
    max_depth: int = 5
    """Most agents that ask one another in a row."""
    workers: int = 100
    """Most background runs that this process drives at the same time; 0: it leaves them to others."""


@dataclass(frozen=True, slots=True)
class RunHandle:
    """A started run, and its events."""

    run: Run
    _follow: Callable[[int], AsyncGenerator[tuple[int, Event], None]]
    settle: Callable[[bool], None] = lambda taken: None
    """To be told whether the client was there to take its answer; else the same request, sent again, gets it."""

    def events(self, after: int = 0) -> AsyncGenerator[tuple[int, Event], None]:
        """Numbered events above `after`, up to the last one."""
        return self._follow(after)


class RunEngine:
    """Drives all runs of this process. `start` it once, `close` it last but one, before the database."""

    def __init__(self, deps: LoopDeps, options: EngineOptions, status_of: Callable[[ReverieError], int]) -> None:
        self._deps = deps
        self._options = options
        self._live = LiveRuns()
        self.bells = Bells(deps.database)
        self.bells.on("cancel", self._live.cancel)
        self._lease = Lease(
            deps.database,
            deps.clock,
            self._live,
            self.bells,
            lease_s=options.lease_s,
            attempts=options.attempts,
            alone=options.alone,
        )
        self._mirrors = Mirrors(deps.database, self.bells)
        scribe = Scribe(deps.database, self.worker_id, alone=options.alone)
        self._driver = Driver(deps, self._live, self.bells, self._mirrors, status_of, scribe, lambda: self._lease.hears)
        self._line = Line(deps.database, self.bells, self._lease, self._live.left, self._acceptor)
        self._dispatcher = Dispatcher(
            deps,
            self.bells,
            self._driver,
            self._live.left,
            worker_id=self.worker_id,
            has_room=self._has_room,
            status_of=status_of,
            hears=lambda: self._lease.hears,
            alone=options.alone,
        )
        self._arrivals = Arrivals()
        self._untaken: Untaken[RunHandle] = Untaken()
        self.lineage = Lineage(self._live.holder, options.max_depth)
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
        """Take a lease, end what dead processes left, and hear what others ring."""
        await self._lease.start()
        self.bells.start()

    def work(self) -> None:
        """Begin to start what waits; everything that runs need is there."""
        if self._options.workers:
            self._dispatcher.start()

    async def send(
        self,
        organization_id: OrganizationId,
        conversation_id: ConversationId,
        request: Request,
        *,
        when_busy: BusyPolicy | None = None,
        on_accept: OnAccept | None = None,
    ) -> RunHandle:
        """Accept a request: its run and its inputs are stored when this returns, and the turn is on its way.

        `on_accept` is called in the transaction that stores them; what it raises undoes it, and is raised here.

        Raises:
            NotFound: the conversation does not exist.
            Busy: another run holds it and the policy is to refuse.
            ApprovalPending: a call waits for an answer and the request brings none.
            InvalidInput: an approval that answers nothing.
            Draining: the server is shutting down.
        """
        return await self._send(
            Wish(
                organization_id=organization_id,
                conversation_id=conversation_id,
                request=request,
                policy=when_busy,
                on_accept=on_accept,
            )
        )

    async def submit(
        self,
        organization_id: OrganizationId,
        conversation_id: ConversationId,
        request: Request,
        *,
        when_busy: BusyPolicy | None = None,
    ) -> RunHandle:
        """Accept a background request: its run is stored when this returns, and is on its way or waits for its turn.

        Raises:
            ReverieError: as `send`; what is found out when a waiting run is started ends it as failed.
        """
        return await self._send(
            Wish(
                organization_id=organization_id,
                conversation_id=conversation_id,
                request=request,
                policy=when_busy,
                stored=True,
            )
        )

    async def _send(self, wish: Wish) -> RunHandle:
        task = asyncio.create_task(self._accept(wish), name=f"run of {wish.conversation_id}")
        task.add_done_callback(lambda done: None if done.cancelled() else done.exception())
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.cancel()  # nobody wants it any more, unless it was accepted in the same moment
            raise

    async def _accept(self, wish: Wish) -> RunHandle:
        try:
            found = await self._line.accept(wish)
        except CameBefore as before:
            return self._handle_of(before.run)
        if isinstance(found, TurnState):
            self._deps.fault("run_accepted")
            self._driver.begin(Begun(found))
            return self._handle_of(found.run)
        assert found.run is not None
        self._deps.fault("run_waits")
        self.bells.ring("line", wish.conversation_id)
        return self._handle_of(found.run)

    async def send_once(
        self,
        organization_id: OrganizationId,
        conversation_id: ConversationId,
        request: Request,
        *,
        again: bool = False,
    ) -> RunHandle:
        """Accept a client's request, or return the run that it was before: the same otids and inputs, or approvals.

        With `again` the client says that it had no answer to the same request; it may wait for the run of that.

        Raises:
            SentBefore: an otid is known, and what came with it is not what comes now.
            ReverieError: as `send`.
        """
        handle, settle = await self._untaken.answer(
            organization_id,
            conversation_id,
            request.inputs,
            lambda: self._send_once(organization_id, conversation_id, request, again=again),
            again=again,
        )
        return replace(handle, settle=settle)

    async def _send_once(
        self, organization_id: OrganizationId, conversation_id: ConversationId, request: Request, *, again: bool
    ) -> RunHandle:
        wish = Wish(
            organization_id=organization_id,
            conversation_id=conversation_id,
            request=request,
            policy=request.when_busy,
            again=again,
            stored=request.background,
        )
        if not can_come_twice(request):
            return await self._send(wish)
        async with self._arrivals.alone(conversation_id, request):
            run = await self._deps.database.read(lambda c: sent_before(c, organization_id, conversation_id, request))
            if run is not None:
                return self._handle_of(run)
            return await self._send(replace(wish, once=True))

    def _handle_of(self, run: Run) -> RunHandle:
        live = self._live.get(run.id)
        if live is not None and not run.background:  # its events are nowhere else
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
            return await self.submit(organization_id, conversation_id, request, when_busy="enqueue")
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
                    after = item[0]
                    yield item
                    if isinstance(item[1], RunEnded):
                        return
        async with aclosing(self._mirrors.follow(organization_id, run_id, after)) as events:
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

        The inputs of a run that waits are not let in any more.

        Raises:
            NotFound: no such run.
        """
        run = await self._deps.database.read(lambda c: runs.get(c, organization_id, run_id))
        if run.completed_at is None and run.worker_id is None:
            run = await self._cancel_waiting(run)
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

    async def _cancel_waiting(self, run: Run) -> Run:
        now = self._deps.clock()
        ended = await self._deps.database.write(lambda c: end_waiting(c, run, StopReason.CANCELLED, None, now))
        if ended is None:  # it was started in the same moment
            return await self._deps.database.read(lambda c: runs.get(c, run.organization_id, run.id))
        self._driver.announce(*ended)
        return ended[0]

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
        # Those that wait come first, or the end of one would start the next.
        waiting = [run for run in active if run.status is RunStatus.CREATED]
        driven = [run for run in active if run.status is not RunStatus.CREATED]
        return [await self.cancel(organization_id, run.id) for run in (*reversed(waiting), *driven)]

    async def cancel_agent(self, organization_id: OrganizationId, agent_id: AgentId) -> list[Run]:
        """Stop every run of an agent."""
        return await self.cancel_active(organization_id, agent_id=agent_id)

    async def call_off(
        self, organization_id: OrganizationId, agent_id: AgentId, *, conversation_id: ConversationId | None = None
    ) -> list[RunId]:
        """Stop every run of an agent, or of one of its conversations, and take back what waits for an approval."""
        stopped = await self.cancel_active(organization_id, agent_id=agent_id, conversation_id=conversation_id)

        def asking(c: Connection) -> list[ConversationId]:
            return [conversation_id] if conversation_id else messages.threads_with_approvals(c, agent_id)

        asked = [await self._withdraw(organization_id, thread) for thread in await self._deps.database.read(asking)]
        return [*(run.id for run in stopped), *(run_id for run_id in asked if run_id is not None)]

    async def call_off_run(self, organization_id: OrganizationId, run_id: RunId) -> Run:
        """Stop a run, or take back the approval that it ended with; one that has ended stays ended as it is.

        Raises:
            NotFound: no such run.
        """
        run = await self.cancel(organization_id, run_id)
        if run.stop_reason is StopReason.REQUIRES_APPROVAL:
            await self._withdraw(organization_id, run.conversation_id, asked_by=run.id)
        return run

    async def _withdraw(
        self, organization_id: OrganizationId, thread: ConversationId, *, asked_by: RunId | None = None
    ) -> RunId | None:
        now = self._deps.clock()
        return await self._deps.database.write(lambda c: withdraw(c, organization_id, thread, now, asked_by=asked_by))

    async def cancel_children(self, parent: Run, conversation_id: ConversationId) -> list[Run]:
        """Stop the runs in one conversation that this process started for calls of `parent`."""
        children = [live.run for live in self._live.children(parent.id) if live.run.conversation_id == conversation_id]
        return [await self.cancel(run.organization_id, run.id) for run in children]

    async def bury_dead(self) -> list[RunId]:
        """Settle the runs of processes that died since anyone looked: they are ended, or put back into their lines."""
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
        """Refuse new runs, let running ones reach their next commit, and stop what takes longer than `timeout_s`.

        Stored runs that wait are left to other processes, or to the next start.
        """
        self._draining = True
        self._line.close()
        await self._dispatcher.close()
        tasks = [live.conductor for live in self._live if live.conductor is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=self._options.drain_timeout_s if timeout_s is None else timeout_s)
        for live in self._live:
            self._live.stop(live, "drain")
        tasks = [task for task in tasks if not task.done()]
        if tasks:
            await asyncio.wait(tasks, timeout=5.0)
        await self._mirrors.close()

    async def close(self) -> None:
        """Drain, then give the lease back."""
        await self.drain()
        await self._driver.close()
        await self.bells.close()
        await self._lease.close()

    def _acceptor(self) -> Acceptor:
        return Acceptor(
            worker_id=self.worker_id,
            now=self._deps.clock(),
            when_busy=self._options.when_busy,
            has_room=self._has_room(),
        )

    def _has_room(self) -> bool:
        """Whether one more background run may be driven here."""
        if self._draining:
            return False
        return sum(live.run.background for live in self._live) < self._options.workers

    async def _cancel_elsewhere(self, run: Run) -> Run:
        """Ask the process that drives the run, and wait for its end, or end it when that process is dead."""
        await self._deps.database.write(lambda c: runs.request_cancel(c, run.id))
        self.bells.ring("cancel", run.id)
        while True:
            if not await self._lease.bury_holder(run.id):
                await asyncio.sleep(POLL_S)
            now = await self._deps.database.read(lambda c: runs.get(c, run.organization_id, run.id))
            if now.completed_at is None and now.worker_id is None:
                now = await self._cancel_waiting(now)
            if now.completed_at is not None:
                return now


__all__ = ["EngineOptions", "RunEngine", "RunHandle"]
